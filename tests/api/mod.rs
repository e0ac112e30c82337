//! What `include/shmkey.h` declares, read from its own text: cbindgen writes it in one manner.

#![allow(dead_code)] // each user needs a part

/// The header.
pub const HEADER: &str = include_str!("../../include/shmkey.h");

/// One declaration, with the comment in front of it.
pub struct Item {
    pub name: String,
    pub comment: Vec<String>,
    pub kind: Kind,
}

pub enum Kind {
    /// `#define NAME VALUE`.
    Constant,
    /// A structure whose inside is not told.
    Opaque,
    /// A structure: its definition as it stands, and its fields: declaration and name.
    Struct {
        definition: Vec<String>,
        fields: Vec<(String, String)>,
    },
    Function(Function),
}

pub struct Function {
    /// Up to the name, as in `const char *`.
    pub result: String,
    /// Types and names, as in (`const char *`, `path`).
    pub parameters: Vec<(String, String)>,
}

impl Item {
    pub fn function(&self) -> Option<&Function> {
        match &self.kind {
            Kind::Function(function) => Some(function),
            _ => None,
        }
    }

    /// The prototype on one line, without the names of the parameters, which are no part of the ABI.
    pub fn prototype(&self) -> Option<String> {
        let function = self.function()?;
        let types: Vec<&str> = function
            .parameters
            .iter()
            .map(|(kind, _)| kind.trim_end())
            .collect();
        let types = if types.is_empty() {
            "void".to_owned()
        } else {
            types.join(", ")
        };
        Some(format!("{}{}({types})", function.result, self.name))
    }
}

/// The comment at the top, without its frame.
pub fn preface() -> Vec<&'static str> {
    let (comment, _) = HEADER.split_once("*/").expect("a comment comes first");
    comment
        .lines()
        .skip(1)
        .map(|line| line.strip_prefix(" *").unwrap_or(line))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect()
}

/// All declarations, in their order.
pub fn items() -> Vec<Item> {
    let (_, body) = HEADER.split_once("#include <stdint.h>").expect("includes");
    let mut items = Vec::new();
    let mut comment = Vec::new();
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
            continue;
        }
        let comment = std::mem::take(&mut comment);
        let words: Vec<&str> = line.split([' ', ';']).collect();
        let (name, kind) = match words[..] {
            ["#define", name, _] => (name.to_owned(), Kind::Constant),
            ["typedef", "struct", name, "{"] => {
                let mut definition = vec![format!("struct {name} {{")];
                let mut fields = Vec::new();
                for line in lines.by_ref().take_while(|line| !line.starts_with('}')) {
                    definition.push(line.to_owned());
                    if let Some(field) = line.strip_suffix(';') {
                        let (plain, _) = field.split_once('[').unwrap_or((field, ""));
                        fields.push((field.trim().to_owned(), declared_name(plain).1));
                    }
                }
                definition.push("};".to_owned());
                (name.to_owned(), Kind::Struct { definition, fields })
            }
            ["typedef", "struct", name, _, ""] => (name.to_owned(), Kind::Opaque),
            _ if line.ends_with(");") => function(line),
            _ => continue, // blank lines, and what C++ needs
        };
        items.push(Item {
            name,
            comment,
            kind,
        });
    }
    items
}

fn function(line: &str) -> (String, Kind) {
    let (before, parameters) = line.split_once('(').expect("a function has parentheses");
    let (result, name) = declared_name(before);
    let parameters = parameters
        .trim_end_matches(");")
        .split(", ")
        .filter(|&parameter| parameter != "void")
        .map(declared_name)
        .collect();
    (name, Kind::Function(Function { result, parameters }))
}

/// The type and the name of a declaration such as `const char *path`.
fn declared_name(declaration: &str) -> (String, String) {
    let declaration = declaration.trim();
    let start = declaration.rfind([' ', '*']).expect("a type and a name") + 1;
    let (kind, name) = declaration.split_at(start);
    (kind.to_owned(), name.to_owned())
}
