//! `key create`: what it makes serves, and it never makes a second key of one name.

use super::{run, setup, two_hsms};
use crate::harness::metrics::eventually;
use crate::harness::token::{HEALTH_KEY, OTHER_TOKEN};
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

#[test]
fn a_key_that_is_made_serves_a_proxy_that_runs() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let response = payments.call("encrypt", "absent", &encrypt_body(b"x"));
    response.assert_error(404, "KeyNotFoundException");
    run(&proxy.setup, &["key", "create", "--label", "absent"]).expect(
        0,
        &[
            "made on hsm-a",
            "AES-256, sensitive, not extractable, ENCRYPT + DECRYPT",
        ],
    );
    let encrypted = eventually("the new key", || {
        let answer = payments.call("encrypt", "absent", &encrypt_body(b"new"));
        (answer.status == 200).then(|| answer.ok())
    });
    let opened = payments.call("decrypt", "absent", &decrypt_body(&encrypted));
    assert_eq!(bytes(&opened.ok(), "plaintext"), b"new");
}

#[test]
fn a_name_that_is_in_use_is_rejected() {
    let (_directory, setup) = setup();
    let create = |options: &[&str]| run(&setup, &[&["key", "create"], options].concat());
    let why = "already; nothing was made";
    create(&["--label", "orders"]).expect(1, &["label \"orders\"", why]);
    let id = ["--label", "another", "--id", "0a0b0c0d"];
    create(&id).expect(1, &["id 0a0b0c0d", why]);
    create(&["--label", "another", "--id", "0A0F"]).expect(0, &["CKA_ID 0a0f"]);
    create(&["--label", "another"]).expect(1, &[why]);
    let in_use = create(&["--label", "orders", "--json"])
        .expect(1, &[])
        .json();
    assert_eq!(in_use["error"], "name_in_use", "{in_use}");
    create(&["--label", HEALTH_KEY]).expect(0, &["already on hsm-a"]);
    create(&["--label", ""]).expect(2, &[]);
    create(&["--label", "x", "--id", "0"]).expect(2, &["hex digits"]);
    create(&["--label", "x", "--hsm", "hsm-z"]).expect(2, &["known are: hsm-a"]);
}

#[test]
fn hsms_that_share_no_keys_are_named() {
    let (_directory, setup) = two_hsms();
    run(&setup, &["key", "create", "--label", "new"]).expect(2, &["hsm-a, hsm-b"]);
    let create = |hsm| run(&setup, &["key", "create", "--label", "new", "--hsm", hsm]);
    create("hsm-a").expect(
        1,
        &[
            "made on hsm-a",
            "NOT on hsm-b",
            "do not share keys",
            "vendor's tool",
        ],
    );
    let rejected =
        create("hsm-b").expect(1, &["hsm-a has a key", "a different key of the same name"]);
    assert!(rejected.stdout.is_empty(), "{rejected}");
    let missing = run(&setup, &["key", "list", "--store", "root"]);
    missing.expect(
        1,
        &["MISSING", "hsm-b has no key with label \"root-orders\""],
    );
}

#[test]
fn no_key_is_made_while_an_hsm_is_unreachable() {
    let (_directory, mut setup) = two_hsms();
    setup.edit(&format!("label = {OTHER_TOKEN:?}"), "label = \"gone\"");
    for command in [
        &["key", "create", "--hsm", "hsm-a", "--label", "new"][..],
        &["key", "rotate", "--store", "root", "--key", "orders"],
    ] {
        run(&setup, command).expect(3, &["hsm-b cannot be opened", "nothing was made"]);
        let report = run(&setup, &[command, &["--json"]].concat()).expect(3, &[]);
        assert_eq!(report.json()["error"], "hsm_unavailable", "{report}");
    }
    run(&setup, &["key", "list", "--store", "root"])
        .expect(1, &["unknown", "hsm-b: cannot be opened"]);
}
