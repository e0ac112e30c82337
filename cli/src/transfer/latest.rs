//! Reads and publishes latest values.

use super::{Get, Put};
use crate::{
    output::Failure,
    sized::{Latest, Opening, Site},
    target::Target,
    words,
};
use shmkey::Contents;
use std::io::{self, BufRead, Read};

fn open(target: &Target, id: i32, contents: &Contents, size: usize) -> Result<Latest, Failure> {
    Ok(Latest::open(&Opening {
        site: Site::of(target, id),
        size,
        layout: &contents.layout,
        create: None,
    })?)
}

pub fn put(options: &Put, id: i32, contents: &Contents, size: usize) -> Result<(), Failure> {
    if let Some(format) = &options.format {
        let fits = format.expect_size("a value", size);
        fits.map_err(Failure::Because)?;
    }
    let mut latest = open(&options.segment, id, contents, size)?;
    let (mut input, most) = (io::stdin().lock(), options.most(size as u64));
    let mut text = Vec::new();
    if !options.lines {
        input.take(most).read_to_end(&mut text)?;
        return publish(options, &mut latest, &text, size);
    }
    let mut published = 0;
    while input.by_ref().take(most).read_until(b'\n', &mut text)? > 0 {
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        publish(options, &mut latest, line, size).map_err(|failure| match failure {
            Failure::Because(why) => {
                let lines = words::count(published, "line");
                Failure::Because(format!("{why} (published before it: {lines})"))
            }
            failure => failure,
        })?;
        published += 1;
        text.clear();
    }
    Ok(())
}

fn publish(options: &Put, latest: &mut Latest, text: &[u8], size: usize) -> Result<(), Failure> {
    let value = options.encoded(text).map_err(Failure::Because)?;
    if value.len() != size {
        let more = if value.len() > size { "more" } else { "fewer" };
        return Err(Failure::Because(format!(
            "the value has {}, and the input has {more}; nothing was published (--format publishes text)",
            words::count(size as u64, "byte")
        )));
    }
    Ok(latest.publish(&value)?)
}

pub fn get(options: &Get, id: i32, contents: &Contents, size: usize) -> Result<(), Failure> {
    if options.offset.is_some() || options.length.is_some() || options.oldest {
        return Err(Failure::Because(
            "--offset, --length and --oldest are not for a latest value; --raw copies its bytes"
                .to_owned(),
        ));
    }
    if let Some(format) = &options.format {
        let fits = format.expect_size("a value", size);
        fits.map_err(Failure::Because)?;
    }
    let latest = open(&options.segment, id, contents, size)?;
    let mut seen = 0;
    for _ in 0..options.number() {
        match latest.read_newer(seen, options.timeout()) {
            Ok((version, value)) => {
                options.write(&value, Some(version))?;
                seen = version;
            }
            Err(refused) if options.follow && refused.is_late() => break,
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(())
}
