//! `shmkey chmod` and `shmkey chown`.

use crate::{create, list, output::Failure, quoting::in_quotes, target::Target};
use clap::Args;
use shmkey::Segment;

#[derive(Args)]
pub struct Mode {
    /// The permission bits in octal, 0 to 777
    #[arg(value_name = "MODE", value_parser = create::mode)]
    mode: u32,
    #[command(flatten)]
    targets: Targets,
}

#[derive(Args)]
pub struct Owner {
    /// The new owner, the new group after a colon, or both: names or numbers
    #[arg(value_name = "USER[:GROUP]", value_parser = owner)]
    owner: (Option<u32>, Option<u32>),
    #[command(flatten)]
    targets: Targets,
}

#[derive(Args)]
struct Targets {
    /// The segments: ids, keys or names
    #[arg(value_name = "SEGMENT", required = true, allow_negative_numbers = true, add = crate::complete::segments())]
    segments: Vec<Target>,
}

pub fn mode(options: &Mode) -> Result<(), Failure> {
    options
        .targets
        .each(|segment| segment.set_mode(options.mode))
}

pub fn owner_and_group(options: &Owner) -> Result<(), Failure> {
    let (uid, gid) = options.owner;
    options.targets.each(|segment| segment.set_owner(uid, gid))
}

impl Targets {
    /// Changes each segment, and continues after one that cannot be changed.
    fn each(&self, change: impl Fn(&Segment) -> Result<(), shmkey::Error>) -> Result<(), Failure> {
        crate::output::each(&self.segments, |target| {
            let segment = Segment::from_id(target.status()?.id);
            let because = |error| Failure::Because(target.explain(error));
            change(&segment).map_err(because)?;
            Ok(String::new())
        })
    }
}

/// `USER`, `USER:GROUP`, `:GROUP`.
fn owner(text: &str) -> Result<(Option<u32>, Option<u32>), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    if user.is_none() && group.is_none_or(str::is_empty) {
        return Err("expected USER, USER:GROUP or :GROUP".to_owned());
    }
    Ok((
        user.map(list::uid).transpose()?,
        group.map(gid).transpose()?,
    ))
}

fn gid(group: &str) -> Result<u32, String> {
    let named = || uzers::get_group_by_name(group).map(|group| group.gid());
    let unknown = || format!("there is no group {}", in_quotes(group.as_bytes()));
    group.parse().ok().or_else(named).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        assert_eq!(owner("7"), Ok((Some(7), None)));
        assert_eq!(owner("root:8"), Ok((Some(0), Some(8))));
        assert_eq!(owner(":root"), Ok((None, Some(0))));
        for wrong in ["", ":", "root:", "no such user", "0:no such group"] {
            assert!(owner(wrong).is_err(), "{wrong}");
        }
    }
}
