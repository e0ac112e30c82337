//! How often something happens.

use std::time::Duration;

/// Events per second, smoothed.
#[derive(Clone, Copy, Default)]
pub struct Rate(f64);

impl Rate {
    pub fn add(&mut self, events: u64, time: Duration) {
        let seconds = time.as_secs_f64();
        if seconds > 0.0 {
            // An event of a second ago counts for a third.
            let weight = 1.0 - (-seconds).exp();
            self.0 += (events as f64 / seconds - self.0) * weight;
        }
    }

    pub fn text(self) -> String {
        match self.0 {
            ..0.05 => "0".to_owned(),
            ..10.0 => format!("{:.1}", self.0),
            _ => format!("{:.0}", self.0),
        }
    }
}
