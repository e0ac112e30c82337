//! Turns what a terminal shows, colours and all, into a picture: `picture < TEXT > SVG`.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut screen = String::new();
    io::stdin().read_to_string(&mut screen)?;
    let svg = anstyle_svg::Term::new().render_svg(screen.trim_end());
    io::stdout().write_all(svg.as_bytes())
}
