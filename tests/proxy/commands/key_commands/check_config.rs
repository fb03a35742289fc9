//! `check-config --hsm`: every way in which HSMs and configuration do not fit.

use serde_json::json;

use super::{remove_key, remove_unusable_keys, run, setup};

#[test]
fn check_config_says_what_the_hsm_lacks() {
    let (_directory, setup) = setup();
    run(&setup, &["check-config", "--hsm"]).expect(
        1,
        &[
            "command.toml: ok",
            "hsm-a: ok: ",
            "payments/orders version 1: ok",
            "payments/by-id version 1: ok: id 0a0b0c0d",
            "payments/absent version 1: no HSM has a key with label \"absent\": requests for this key fail with KeyNotFoundException",
            "payments/ambiguous version 1: hsm-a has 2 keys",
            "payments/aes128 version 1: on hsm-a it is AES-128, not AES-256",
            "payments/encrypt-only version 1: on hsm-a it may not decrypt",
            "payments/decrypt-only version 1: on hsm-a it may not encrypt",
        ],
    );
    let report = run(&setup, &["check-config", "--hsm", "--json"])
        .expect(1, &[])
        .json();
    assert_eq!(
        (&report["ok"], &report["faults"]),
        (&false.into(), &json!([]))
    );
    assert_eq!(report["checks"]["hsms"][0]["is_proved"], true, "{report}");
    assert!(!report["checks"]["faults"].as_array().unwrap().is_empty());
    // Without --hsm, the command does not check the keys on the HSM.
    run(&setup, &["check-config"]).expect(0, &[]);
}

#[test]
fn check_config_is_content_with_hsms_that_have_everything() {
    let (_directory, mut setup) = setup();
    remove_unusable_keys(&mut setup);
    remove_key(&mut setup, "absent");
    run(&setup, &["check-config", "--hsm"]).expect(0, &["proved with its health key"]);

    setup.set("hsm", "health_key", "\"made-later\"");
    run(&setup, &["check-config", "--hsm"]).expect(
        1,
        &[
            "the token has no health key",
            "`xks-proxy key create --label made-later`",
        ],
    );
    run(&setup, &["key", "create", "--label", "made-later"]).expect(0, &["made on hsm-a"]);
    run(&setup, &["check-config", "--hsm"]).expect(0, &[]);

    setup.edit("request_timeout = \"10s\"", "request_timeout = \"soon\"");
    run(&setup, &["check-config", "--hsm"]).expect(78, &["is not a duration"]);
}

#[test]
fn one_key_under_two_names_of_two_stores_is_found() {
    let (_directory, mut setup) = setup();
    setup.edit(
        "label = \"root-orders\"\n",
        "label = \"nobody-asks-for-this-label\"\n",
    );
    let fault = "payments/by-id version 1 (id 0a0b0c0d) and root/orders version 1";
    run(&setup, &["check-config", "--hsm"]).expect(1, &[fault, "danger_shared = true"]);
    for name in [
        "label = \"nobody-asks-for-this-label\"\n",
        "cka_id = \"0a0b0c0d\"\n",
    ] {
        setup.edit(name, &format!("{name}danger_shared = true\n"));
    }
    let both = run(&setup, &["check-config", "--hsm"]).expect(1, &[]);
    assert!(!both.stderr.contains(fault), "{both}");
}

#[test]
fn a_key_is_not_reported_as_ok_if_its_hsm_is_unavailable() {
    let (_directory, mut setup) = setup();
    setup.set("hsm", "token", "{ label = \"no-such-token\" }");
    let checked = run(&setup, &["check-config", "--hsm"]);
    checked.expect(
        1,
        &[
            "payments/orders version 1: not known: hsm-a could not be queried",
            "no-such-token",
        ],
    );
}
