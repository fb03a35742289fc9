//! `key list`: what the HSMs have, and whether it is one key.

use serde_json::{Value, json};

use super::{clone_to_both, listed, run, setup, two_hsms};
use crate::harness::control::{Dialect, FOREVER, Function};
use crate::harness::token::{OTHER_TOKEN, TOKEN_LABEL};
use crate::harness::{Proxy, ROOT};

const CKR_GENERAL_ERROR: u64 = 0x05;
const CKR_DEVICE_ERROR: u64 = 0x30;

#[test]
fn key_list_shows_attributes_and_the_counts_of_the_running_proxy() {
    let mut proxy = Proxy::start();
    for _ in 0..3 {
        proxy.caller(&ROOT).encrypt("orders", b"x");
    }
    let admin = format!("\"{}\"", proxy.admin);
    proxy.setup.set("admin", "listen", &admin);
    let versions = listed(&proxy.setup, "root", 0);
    let version = &versions[0];
    assert_eq!(version["encryptions"], 3, "{version}");
    assert_eq!(version["is_primary"], true);
    let key = &version["hsms"][0]["key"];
    assert_eq!(key["kind"], "AES-256", "{key}");
    assert_eq!(key["usage"], json!(["ENCRYPT", "DECRYPT"]));
    assert_eq!(
        (&key["sensitive"], &key["extractable"]),
        (&true.into(), &false.into())
    );
    run(&proxy.setup, &["key", "list", "--store", "root"]).expect(
        0,
        &[
            "1 primary",
            "label \"root-orders\"",
            "accepts",
            "ENCRYPTIONS",
        ],
    );
    // If the proxy does not answer, the count is missing. The command still succeeds.
    proxy.setup.set("admin", "listen", "\"127.0.0.1:1\"");
    assert_eq!(
        listed(&proxy.setup, "root", 0)[0]["encryptions"],
        Value::Null
    );
}

#[test]
fn one_key_on_two_hsms_differs_from_two_keys() {
    let (_directory, mut setup) = two_hsms();
    clone_to_both(&setup, "root-shared");
    setup.edit("label = \"root-orders\"", "label = \"root-shared\"");
    let same = |versions: &[Value]| versions[0]["same_key"]["outcome"].clone();
    assert_eq!(same(&listed(&setup, "root", 0)), "same");

    for token in [TOKEN_LABEL, OTHER_TOKEN] {
        setup.token.tool_on(token, "key", &["--label", "unlike"]);
    }
    setup.edit("label = \"root-shared\"", "label = \"unlike\"");
    assert_eq!(same(&listed(&setup, "root", 1)), "different");
    let shout = "root/orders version 1: hsm-a and hsm-b hold DIFFERENT KEYS";
    run(&setup, &["key", "list"]).expect(1, &[shout]);
    run(&setup, &["check-config", "--hsm"]).expect(1, &[shout, "config", "command.toml: ok"]);
    let rotate = [
        "key",
        "rotate",
        "--store",
        "retail",
        "--key",
        "stock",
        "--label",
        "root-orders",
    ];
    run(&setup, &rotate).expect(1, &["NOT on hsm-b"]);
}

#[test]
fn an_old_version_need_not_encrypt() {
    let (_directory, mut setup) = setup();
    let versions = "primary = 2\nversions = [{ version = 1, label = \"old\" }, { version = 2, label = \"root-orders\" }]\n";
    setup.edit("label = \"root-orders\"\n", versions);
    setup.token.tool("key", &["--label", "old", "--no-encrypt"]);
    let versions = listed(&setup, "root", 0);
    assert_eq!(versions[0]["objections"], json!([]));
    run(&setup, &["key", "list", "--store", "root"]).expect(0, &["decrypts", "accepts"]);
}

#[test]
fn hsms_that_generate_ivs_are_compared_as_well() {
    let (_directory, mut setup) = setup();
    let (a, b) = (setup.faulty_module(), setup.second_faulty_module());
    for dialect in [
        Dialect::IvWrittenBack,
        Dialect::IvAppended,
        Dialect::IvPrepended,
    ] {
        for (one, other) in [(dialect, Dialect::AsWrapped), (Dialect::AsWrapped, dialect)] {
            a.set_dialect(one);
            b.set_dialect(other);
            let same = &listed(&setup, "root", 0)[0]["same_key"]["outcome"];
            assert_eq!(same, "same", "{one:?} and {other:?}");
        }
    }
}

#[test]
fn an_hsm_that_fails_is_not_accused_of_holding_another_key() {
    let (_directory, mut setup) = setup();
    let (_a, b) = (setup.faulty_module(), setup.second_faulty_module());
    for code in [CKR_GENERAL_ERROR, CKR_DEVICE_ERROR] {
        b.fail_next(Function::Decrypt, code, FOREVER);
        let ran = run(&setup, &["key", "list", "--store", "root"]).expect(1, &["FAULT"]);
        assert!(!ran.stdout.contains("DIFFERENT"), "{ran}");
    }
}
