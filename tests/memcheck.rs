//! The C programs under valgrind: no invalid access, no leak.

mod stage;

use stage::{Form, Troupe, plays};

/// The forms with code of ours in them that valgrind can watch.
const FORMS: [Form; 5] = [
    Form::Preload,
    Form::DropinSo,
    Form::DropinA,
    Form::CSo,
    Form::CA,
];

#[test]
#[ignore = "needs valgrind"]
fn the_c_programs_use_memory_as_they_should() {
    let mut troupe = Troupe::assemble(|_| {}).expect("the programs can be built");
    troupe.run_under(&[
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect,possible",
    ]);
    for form in FORMS {
        for solo in &plays::SOLOS {
            plays::solo(&troupe, solo, form)
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
        for pair in plays::PAIRS
            .iter()
            .filter(|pair| pair.forms.contains(&form))
        {
            let cast = plays::Cast {
                troupe: &troupe,
                pair,
                writer: form,
                reader: form,
                thorough: false,
            };
            cast.play()
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
        if Form::OURS.contains(&form) {
            plays::race(&troupe, form, 1000)
                .unwrap_or_else(|error| panic!("{}: {error}", form.name()));
        }
    }
}
