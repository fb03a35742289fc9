//! Signatures, policies, probe and check-config with one key store in each partition of AWS.

use std::fs;

use serde_json::{Value, json};

use crate::commands::command_line::run;
use crate::harness::setup::Setup;
use crate::harness::target::{command, options};
use crate::harness::wire::{decrypt_body, encrypt_body, set};
use crate::harness::{PAYMENTS, Proxy, StoreName};

/// A partition with the suffix of its service names.
struct Partition {
    name: &'static str,
    suffix: &'static str,
    store: StoreName,
}

const PARTITIONS: [Partition; 4] = [
    Partition {
        name: "aws",
        suffix: "amazonaws.com",
        store: StoreName {
            name: "commercial",
            prefix: "/commercial",
            region: "ap-southeast-7",
            access_key_id: "XKSCOMMERCIALAAAAAAA",
            ..PAYMENTS
        },
    },
    Partition {
        name: "aws-us-gov",
        suffix: "amazonaws.com",
        store: StoreName {
            name: "gov",
            prefix: "/gov",
            region: "us-gov-west-1",
            access_key_id: "XKSGOVAAAAAAAAAAAAAA",
            ..PAYMENTS
        },
    },
    Partition {
        name: "aws-eusc",
        suffix: "amazonaws.eu",
        store: StoreName {
            name: "sovereign",
            prefix: "/sovereign",
            region: "eusc-de-east-1",
            access_key_id: "XKSSOVEREIGNAAAAAAAA",
            ..PAYMENTS
        },
    },
    Partition {
        name: "aws-cn",
        suffix: "amazonaws.com.cn",
        store: StoreName {
            name: "china",
            prefix: "/china",
            region: "cn-north-1",
            access_key_id: "XKSCHINAAAAAAAAAAAAA",
            ..PAYMENTS
        },
    },
];

impl Partition {
    /// Adds a store with one key, and returns rules that permit a role through S3, and a user.
    fn add(&self, setup: &mut Setup) -> String {
        let StoreName {
            name,
            prefix,
            region,
            access_key_id,
            secret,
        } = self.store;
        let secret = setup.write_private(access_key_id, secret);
        setup.append(&format!(
            "[[key_store]]\nname = {name:?}\npath_prefix = {prefix:?}\nregion = {region:?}\n\
             [[key_store.credential]]\naccess_key_id = {access_key_id:?}\nsecret = {{ file = {secret:?} }}\n\
             [[key_store.key]]\nid = \"stock\"\ndanger_shared = true\n"
        ));
        let partition = self.name;
        format!(
            "@id(\"{name}-role\") permit(principal in Xks::Role::\"arn:{partition}:iam::111122223333:role/Archive\", action, \
             resource in Xks::KeyStore::\"{name}\") when {{ context has kmsViaService && context.kmsViaService == \"s3\" }};\n\
             @id(\"{name}-user\") permit(principal == Xks::Principal::\"arn:{partition}:iam::111122223333:user/probe\", action, \
             resource in Xks::KeyStore::\"{name}\");\n"
        )
    }

    /// Returns the request body of KMS for a session of the role in this partition.
    fn through(&self, service: &str, body: &Value) -> Value {
        let (partition, region) = (self.name, self.store.region);
        let mut metadata = body["requestMetadata"].clone();
        metadata["awsPrincipalArn"] = json!(format!(
            "arn:{partition}:sts::111122223333:assumed-role/Archive/s"
        ));
        metadata["kmsKeyArn"] = json!(format!(
            "arn:{partition}:kms:{region}:111122223333:key/1234abcd"
        ));
        metadata["kmsViaService"] = json!(format!("{service}.{region}.{}", self.suffix));
        set(body, "requestMetadata", metadata)
    }
}

/// Adds all stores, with one policy for all of them.
fn add_stores(setup: &mut Setup) {
    let rules: String = PARTITIONS
        .iter()
        .map(|partition| partition.add(setup))
        .collect();
    let file = setup.directory.join("rules.cedar");
    fs::write(&file, rules).unwrap();
    let table = format!("[policy]\nengine = \"cedar\"\npath = {file:?}\n[server]\n");
    setup.edit("[server]\n", &table);
}

#[test]
fn each_partition_uses_its_own_names() {
    let proxy = Proxy::start_with(add_stores);
    for partition in &PARTITIONS {
        let caller = proxy.caller(&partition.store);
        let body = partition.through("s3", &encrypt_body(b"x"));
        let encrypted = caller.call("encrypt", "stock", &body).ok();
        let body = partition.through("s3", &decrypt_body(&encrypted));
        caller.call("decrypt", "stock", &body).ok();
        let body = partition.through("ebs", &encrypt_body(b"x"));
        let denied = caller.call("encrypt", "stock", &body);
        denied.assert_error(403, "AccessDeniedException");
        for other in PARTITIONS
            .iter()
            .filter(|other| other.name != partition.name)
        {
            // A principal of another partition is a different principal.
            let body = other.through("s3", &encrypt_body(b"x"));
            let denied = caller.call("encrypt", "stock", &body);
            denied.assert_error(403, "AccessDeniedException");
            // A signature for another Region is not valid.
            let region = other.store.region;
            let elsewhere = StoreName {
                region,
                ..partition.store
            };
            let body = partition.through("s3", &encrypt_body(b"x"));
            let rejected = proxy.caller(&elsewhere).call("encrypt", "stock", &body);
            rejected.assert_error(401, "AuthenticationFailedException");
        }
        probe(&proxy, partition);
    }
}

/// Runs the probe. It must report the partition, and the policy must permit its principal, which is in that partition.
fn probe(proxy: &Proxy, partition: &Partition) {
    let options = options(proxy, &partition.store);
    let (code, stdout, stderr) = command("probe", &options, &["--json", "--key", "stock"]);
    let report: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{code:?} {stdout}{stderr}"));
    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("key")["result"], "ok", "{report:#}");
    let finding = format!("{}, partition {}", partition.store.region, partition.name);
    assert_eq!(check("Region")["finding"], finding.as_str());
}

#[test]
fn an_unknown_region_is_a_warning_of_check_config() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    add_stores(&mut setup);
    setup.edit("region = \"us-gov-west-1\"", "region = \"uk-east-1\"");
    let file = setup.write();
    let (code, stdout, stderr) = run(&["check-config", "--config", file.to_str().unwrap()]);
    let output = format!("{stdout}{stderr}");
    assert_eq!(code, Some(0), "{output}");
    for warning in [
        "\"uk-east-1\" is not the name of a known AWS region",
        "\"cn-north-1\" is in the partition aws-cn, where AWS KMS does not offer external key stores",
    ] {
        assert_eq!(output.matches(warning).count(), 1, "{warning}: {output}");
    }
    assert!(!output.contains("eusc-de-east-1"), "{output}");
}
