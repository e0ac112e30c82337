//! TLS and access control, which a configuration file of Zenoh sets up.

use super::{
    bridge::{Bridge, expect, receiver, send, sender},
    machines::Machine,
};
use shmkey::ErrorKind;
use std::{fs, path::Path, process::Command, thread, time::Duration};

/// Makes a certificate authority and a certificate for the other machine in a folder, with openssl(1).
fn certificates(folder: &Path) {
    let run = |arguments: &str| {
        let mut openssl = Command::new("openssl");
        let output = openssl
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl(1) is installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    fs::write(folder.join("names"), "subjectAltName=IP:10.77.1.2\n").unwrap();
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    );
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=there -keyout there.key -out there.csr",
    );
    run(
        "x509 -req -in there.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out there.pem",
    );
}

#[test]
fn tls_and_access_control_are_those_of_a_configuration_file() {
    let folder = std::env::temp_dir().join(format!("shmkey-bridge-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    certificates(&folder);
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text.replace("FOLDER", folder.to_str().unwrap())).unwrap();
        path.display().to_string()
    };
    let server = file("there.json5", include_str!("there.json5"));
    let client = file("here.json5", include_str!("here.json5"));
    let (here, there) = Machine::pair();
    let names = ["orders", "secrets"];
    let [mut orders, mut secrets] = names.map(|name| sender(&here, name));
    let [mut their_orders, mut their_secrets] = names.map(|name| receiver(&there, name));
    let names = |option: &str| format!("--{option} orders --{option} secrets");
    let _theirs = Bridge::start(&there, &format!("--config {server} {}", names("subscribe")));
    let ours = Bridge::start(&here, &format!("--config {client} {}", names("publish")));
    send(&mut secrets, 0..10);
    // For longer than bridges take to find each other: the other machine's file allows orders only.
    for number in 0..300 {
        send(&mut orders, number..number + 1);
        expect(&mut their_orders, number..number + 1);
        let secret = their_secrets.try_recv(&mut [0; 8]);
        assert_eq!(secret.unwrap_err().kind(), ErrorKind::WouldBlock);
        thread::sleep(Duration::from_millis(10));
    }
    let carried = "carrying to another bridge object=";
    assert!(ours.log().contains(&format!("{carried}\"orders\"")));
    assert!(!ours.log().contains(&format!("{carried}\"secrets\"")));
    fs::remove_dir_all(&folder).unwrap();
}
