//! What `include/shmkey.h` declares, read from its own text, which cbindgen writes in one way.

#![allow(dead_code)] // each user needs a part

use std::collections::BTreeSet;

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
    /// `#define NAME(PARAMETERS) TEXT`, or one that begins a structure: the name with the parameters, and the text.
    Macro {
        head: String,
        text: String,
    },
    /// A structure whose fields are not declared.
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

    /// The prototype on one line. The names of the parameters tell those of one type apart.
    pub fn prototype(&self) -> Option<String> {
        let function = self.function()?;
        let parameters = function.parameters.iter();
        let parameters: Vec<_> = parameters
            .map(|(kind, name)| format!("{kind}{name}"))
            .collect();
        let parameters = match &parameters[..] {
            [] => "void".to_owned(),
            parameters => parameters.join(", "),
        };
        Some(format!("{}{}({parameters})", function.result, self.name))
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
    items_of(HEADER)
}

/// The names of the functions.
pub fn functions() -> BTreeSet<String> {
    let items = items().into_iter();
    items
        .filter(|item| item.function().is_some())
        .map(|item| item.name)
        .collect()
}

/// What surrounds the declarations.
const FRAME: [&str; 7] = [
    "",
    "#ifdef __cplusplus",
    "extern \"C\" {",
    "#endif // __cplusplus",
    "}  // extern \"C\"",
    "#endif  // __cplusplus",
    "#endif  /* SHMKEY_H */",
];

/// The declarations of a header. Panics at a declaration of another kind, which no test would check.
pub fn items_of(header: &str) -> Vec<Item> {
    let start = "#ifndef SHMKEY_H\n#define SHMKEY_H\n\n#include <stddef.h>\n#include <stdint.h>\n";
    let (_, body) = header.split_once(start).expect("a guard and includes");
    let mut items = Vec::new();
    let mut comment = Vec::new();
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
            continue;
        }
        let comment = std::mem::take(&mut comment);
        if FRAME.contains(&line) {
            continue;
        }
        let words: Vec<&str> = line.split([' ', ';']).collect();
        let (name, kind) = match words[..] {
            ["#define", ..] => {
                definition(line).unwrap_or_else(|| panic!("what kind of definition is {line:?}?"))
            }
            ["typedef", "struct", name, "{"] => (name.to_owned(), structure(name, &mut lines)),
            ["typedef", "struct", name, same, ""] if name == same => {
                (name.to_owned(), Kind::Opaque)
            }
            _ => {
                let declaration = whole(line, &mut lines);
                function(&declaration)
                    .unwrap_or_else(|| panic!("what kind of declaration is {declaration:?}?"))
            }
        };
        items.push(Item {
            name,
            comment,
            kind,
        });
    }
    items
}

/// A constant, whose value is a number or `(1 << NUMBER)`, or a macro of the library's own.
fn definition(line: &str) -> Option<(String, Kind)> {
    let definition = line.strip_prefix("#define ")?;
    if let Some((name, value)) = definition.split_once(' ') {
        let bit = value
            .strip_prefix("(1 << ")
            .and_then(|rest| rest.strip_suffix(')'));
        if name.starts_with("SHMKEY_") && bit.unwrap_or(value).parse::<i64>().is_ok() {
            return Some((name.to_owned(), Kind::Constant));
        }
    }
    let (head, text) = match definition.split_once(") ") {
        Some((head, text)) if head.contains('(') => (format!("{head})"), text),
        _ => definition
            .split_once(" {")
            .map(|(head, _)| (head.to_owned(), &definition[head.len() + 1..]))?,
    };
    let (name, _) = head.split_once('(').unwrap_or((&head, ""));
    let kind = Kind::Macro {
        head: head.clone(),
        text: text.to_owned(),
    };
    name.starts_with("SHMKEY_").then(|| (name.to_owned(), kind))
}

/// A structure, from behind its first line.
fn structure<'header>(name: &str, lines: &mut impl Iterator<Item = &'header str>) -> Kind {
    let mut definition = vec![format!("struct {name} {{")];
    let mut fields = Vec::new();
    for line in lines.take_while(|line| *line != format!("}} {name};")) {
        definition.push(line.to_owned());
        if line.trim_start().starts_with("//") {
            continue;
        }
        let field = line.trim().strip_suffix(';');
        let field = field.filter(|field| !field.contains(['{', '}', '(', ':', ',', ';']));
        let field = field.unwrap_or_else(|| panic!("what kind of field is {line:?}?"));
        let (plain, _) = field.split_once('[').unwrap_or((field, ""));
        fields.push((field.to_owned(), declared_name(plain).1));
    }
    definition.push("};".to_owned());
    Kind::Struct { definition, fields }
}

/// Joins the lines of a declaration, of which this is the first.
fn whole<'header>(first: &str, lines: &mut impl Iterator<Item = &'header str>) -> String {
    let mut declaration = first.to_owned();
    while !declaration.ends_with(';')
        && let Some(line) = lines.next()
    {
        declaration += " ";
        declaration += line.trim();
    }
    declaration
}

/// The name, the result and the parameters of a function, from its prototype.
fn function(line: &str) -> Option<(String, Kind)> {
    let line = line.strip_prefix("SHMKEY_MUST_USE ").unwrap_or(line);
    let (before, parameters) = line.strip_suffix(");")?.split_once('(')?;
    // Neither a pointer to a function nor a parameter that is one.
    if before.starts_with("typedef") || parameters.contains(['(', ')', ';']) {
        return None;
    }
    let (result, name) = declared_name(before);
    let parameters = parameters
        .split(", ")
        .filter(|&parameter| parameter != "void")
        .map(declared_name)
        .collect();
    Some((name, Kind::Function(Function { result, parameters })))
}

/// The type and the name of a declaration such as `const char *path`.
fn declared_name(declaration: &str) -> (String, String) {
    let declaration = declaration.trim();
    let start = declaration.rfind([' ', '*']).expect("a type and a name") + 1;
    let (kind, name) = declaration.split_at(start);
    (kind.to_owned(), name.to_owned())
}
