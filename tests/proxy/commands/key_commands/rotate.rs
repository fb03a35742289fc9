//! `key rotate`: one new key however often it is called, and no configuration before it is everywhere.

use std::fs;

use serde_json::Value;

use super::{clone_to_both, listed, run, setup, two_hsms};
use crate::harness::token::{HEALTH_KEY, OTHER_TOKEN, TOKEN_LABEL};
use crate::harness::wire::encrypt_body;
use crate::harness::{Proxy, ROOT};

#[test]
fn a_rotation_continues_where_it_ended() {
    let (_directory, mut setup) = setup();
    let rotate = [
        "key", "rotate", "--store", "root", "--key", "orders", "--json",
    ];
    let first = run(&setup, &rotate).expect(0, &[]).json();
    assert_eq!(first["created_on"], "hsm-a", "{first}");
    assert_eq!(
        (&first["version"], &first["label"]),
        (&2.into(), &"root-orders-v2".into())
    );
    let second = run(&setup, &rotate).expect(0, &[]).json();
    assert_eq!(second["created_on"], Value::Null, "made once: {second}");
    assert_eq!(
        (&second["cka_id"], &second["steps"]),
        (&first["cka_id"], &first["steps"])
    );

    let steps = first["steps"].as_array().unwrap();
    let mut table = "[[key_store.key]]\nid = \"orders\"\nlabel = \"root-orders\"\n";
    for (step, primary) in steps.iter().zip(["primary = 1", "primary = 2"]) {
        let step = step.as_str().unwrap();
        assert!(step.contains(primary), "{step}");
        setup.edit(table, step);
        table = step;
        run(&setup, &["check-config"]).expect(0, &[]);
        listed(&setup, "root", 0);
    }
    let versions = listed(&setup, "root", 0);
    assert_eq!(
        (versions.len(), &versions[1]["is_primary"]),
        (2, &true.into())
    );
    let third = run(&setup, &rotate).expect(0, &[]).json();
    assert_eq!(third["label"], "root-orders-v3");
}

#[test]
fn a_rotation_gives_no_configuration_before_every_hsm_has_the_key() {
    let (_directory, mut setup) = two_hsms();
    let rotate = ["key", "rotate", "--store", "root", "--key", "orders"];
    let on = ["--hsm", "hsm-b"];
    let first = run(&setup, &[&rotate[..], &on].concat());
    let advice = ["NOT on hsm-a", "the same command again"];
    let first = first.expect(1, &[&advice[..], &["made on hsm-b"]].concat());
    assert!(!first.stdout.contains("versions ="), "{first}");
    run(&setup, &rotate).expect(1, &[&advice[..], &["exists already"]].concat());

    let with_label = |label| [&rotate[..], &["--label", label]].concat();
    clone_to_both(&setup, "cloned");
    let done = run(&setup, &with_label("cloned")).expect(0, &["Step 1", "Step 2", "hsm-a, hsm-b"]);
    assert!(
        done.stdout.find("primary = 1") < done.stdout.find("primary = 2"),
        "{done}"
    );

    for token in [TOKEN_LABEL, OTHER_TOKEN] {
        setup.token.tool_on(token, "key", &["--label", "unlike"]);
    }
    let unlike = run(&setup, &with_label("unlike")).expect(1, &["DIFFERENT KEYS"]);
    assert!(!unlike.stdout.contains("versions ="), "{unlike}");

    // The same key with a different label is not a new version.
    setup.edit("label = \"root-orders\"", "label = \"cloned\"");
    clone_to_both(&setup, "cloned-again");
    run(&setup, &with_label("cloned-again")).expect(1, &["it is the key of version 1"]);
}

#[test]
fn a_rotation_takes_no_label_that_is_in_use() {
    let (_directory, setup) = setup();
    let rotate = ["key", "rotate", "--store", "root", "--key"];
    for (label, use_of_it) in [
        ("root-orders", "version 1 of root/orders"),
        ("ledger-key", "version 1 of payments/ledger"),
        (HEALTH_KEY, "the health_key of hsm-a"),
    ] {
        let arguments = [&rotate[..], &["orders", "--label", label]].concat();
        run(&setup, &arguments).expect(1, &[use_of_it]);
    }
    let ambiguous = [&rotate[..], &["orders", "--label", "ambiguous"]].concat();
    run(&setup, &ambiguous).expect(1, &["is version 1 of payments/ambiguous"]);
    let in_use = [&rotate[..], &["orders", "--label", "root-orders", "--json"]].concat();
    let report = run(&setup, &in_use).expect(1, &[]).json();
    assert_eq!(report["error"], "name_in_use", "{report}");
    run(&setup, &[&rotate[..], &["none"]].concat()).expect(2, &["known are: orders"]);
}

/// A policy rule applies to a key in the same way after each step of the rotation.
#[test]
fn a_policy_applies_after_each_step_of_a_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.cedar");
    let text = "@id(\"all\") permit(principal, action, resource);\n\
                @id(\"secret\") forbid(principal, action, resource) when { resource.hasTag(\"class\") };";
    fs::write(&rules, text).unwrap();
    let mut table = "[[key_store.key]]\nid = \"orders\"\nlabel = \"root-orders\"\n".to_owned();
    let mut proxy = Proxy::start_with(|setup| {
        let policy = format!("[policy]\nengine = \"cedar\"\npath = {rules:?}\n[server]\n");
        setup.edit("[server]\n", &policy);
        let tagged = format!("{table}tags = {{ class = \"secret\" }}\n");
        setup.edit(&table, &tagged);
        table = tagged;
    });
    let is_forbidden = |proxy: &Proxy| {
        let body = encrypt_body(b"x");
        let root = proxy.caller(&ROOT).call("encrypt", "orders", &body);
        root.assert_error(403, "AccessDeniedException");
        assert_eq!(
            proxy.access_line(&body)["reason"],
            "policy: forbidden by secret"
        );
    };
    is_forbidden(&proxy);
    let rotate = [
        "key", "rotate", "--store", "root", "--key", "orders", "--json",
    ];
    let rotated = run(&proxy.setup, &rotate).expect(0, &[]).json();
    for step in rotated["steps"].as_array().unwrap() {
        let step = step.as_str().unwrap().to_owned();
        proxy.reconfigure(|setup| setup.edit(&table, &step));
        table = step;
        is_forbidden(&proxy);
    }
}
