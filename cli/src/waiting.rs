//! How long a command waits.

use crate::output::Failure;
use clap::Args;
use std::time::Duration;

/// The exit status of a wait that ended at its timeout, as in timeout(1).
pub const LATE: u8 = 124;

#[derive(Args)]
pub struct Waiting {
    /// Wait at most this long: 10 (seconds), 500ms, 1min, forever
    #[arg(long, short = 'w', value_name = "TIME", value_parser = timeout, default_value = "forever")]
    timeout: Duration,
    /// Do not wait
    #[arg(long, short, conflicts_with = "timeout")]
    nonblock: bool,
    /// The exit status if the wait times out, or if with --nonblock it would be necessary to wait
    #[arg(long, short = 'E', value_name = "STATUS", default_value_t = LATE)]
    conflict_exit_code: u8,
}

impl Waiting {
    pub fn timeout(&self) -> Duration {
        if self.nonblock {
            Duration::ZERO
        } else {
            self.timeout
        }
    }

    /// Returns the failure of a wait that ended at its timeout.
    pub fn late(&self, why: String) -> Failure {
        Failure::Status(self.conflict_exit_code, why)
    }
}

/// `10`, `2.5`, `10s`, `500ms`, `forever`.
pub fn timeout(text: &str) -> Result<Duration, String> {
    if text == "forever" {
        return Ok(Duration::MAX);
    }
    let seconds = text.parse().ok();
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let parsed = seconds.or_else(|| humantime::parse_duration(text).ok());
    parsed.ok_or_else(|| "expected a duration such as 10 (seconds), 500ms, 0 or forever".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (text, time) in [
            ("0", 0),
            ("2", 2000),
            ("0.5", 500),
            ("500ms", 500),
            ("1min", 60_000),
        ] {
            assert_eq!(timeout(text), Ok(Duration::from_millis(time)), "{text}");
        }
        assert_eq!(timeout("forever"), Ok(Duration::MAX));
        for wrong in ["", "-1", "x", "NaN", "inf", "1e99"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
