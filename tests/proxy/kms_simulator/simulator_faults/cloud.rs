//! Partitions, CloudTrail files, and CloudWatch metrics with the alarms of `deploy/connect.md`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::fake_proxy::{Act, error_response};
use super::scene::{ACCOUNT, NAMES, REGION, Scene};
use crate::harness::metrics::eventually;
use crate::harness::served::tls_server;
use crate::harness::simulator::at_once;
use crate::harness::system::run_program;

#[test]
fn each_partition_has_its_names() {
    let scene = Scene::start();
    for (partition, region, service) in [
        ("aws", "eu-central-1", Some("com")),
        ("aws-us-gov", "us-gov-west-1", Some("com")),
        ("aws-eusc", "eusc-de-east-1", Some("eu")),
        // AWS has no external key stores in this partition, and the KMS API has no names of endpoint services for it.
        ("aws-cn", "cn-north-1", None),
    ] {
        let kms = scene.simulator.caller(ACCOUNT, region);
        let mut body = scene.store_body("proxy.test");
        if let Some(top) = service {
            let name = format!("{top}.amazonaws.vpce.{region}.vpce-svc-0123456789abcdef0");
            body["XksProxyConnectivity"] = "VPC_ENDPOINT_SERVICE".into();
            body["XksProxyVpcEndpointServiceName"] = name.into();
        }
        let store = kms.ok("CreateCustomKeyStore", &body)["CustomKeyStoreId"].clone();
        let store = store.as_str().unwrap();
        assert_eq!(kms.connect(store), "CONNECTED", "{region}");
        let key = kms.ok("CreateKey", &scene.key_body(store))["KeyMetadata"].clone();
        let id = key["KeyId"].as_str().unwrap();
        let arn = format!("arn:{partition}:kms:{region}:{ACCOUNT}:key/{id}");
        assert_eq!(key["Arn"], arn.as_str());
        scene.fake.be_honest();
        let encrypted = kms.encrypt(&arn).unwrap();
        assert_eq!(encrypted["KeyId"], arn.as_str());
        kms.ok(
            "Decrypt",
            &json!({"CiphertextBlob": encrypted["CiphertextBlob"]}),
        );
        let seen = &scene.fake.seen("encrypt")[0].body["requestMetadata"];
        assert_eq!(seen["kmsKeyArn"], arn.as_str());
        let root = format!("arn:{partition}:iam::{ACCOUNT}:root");
        assert_eq!(seen["awsPrincipalArn"], root.as_str());
        let policy = kms.ok("GetKeyPolicy", &json!({"KeyId": id}))["Policy"].clone();
        assert!(policy.as_str().unwrap().contains(&root), "{policy}");
        // An ARN with another partition does not name the key.
        let other = arn.replacen(partition, "aws-iso", 1);
        let (name, _) = kms
            .call("DescribeKey", &json!({"KeyId": other}))
            .unwrap_err();
        assert_eq!(name, "NotFoundException");
    }
}

/// Returns the complete CloudTrail files below a directory, sorted by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.to_string_lossy().ends_with(".json.gz") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> Value {
    let mut text = String::new();
    let mut gzip = GzDecoder::new(File::open(file).unwrap());
    gzip.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the records of each CloudTrail file.
fn records(directory: &Path) -> Vec<Vec<Value>> {
    let trail = files(directory).into_iter();
    let trail = trail.filter(|file| file.to_string_lossy().contains("/CloudTrail/"));
    trail
        .map(|file| read(&file)["Records"].as_array().unwrap().clone())
        .collect()
}

fn with_cloudtrail(more: &[(&str, &str)]) -> (Scene, PathBuf) {
    let scene = Scene::start_with(|options, directory| {
        let options = options
            .with("--timeout", "10s")
            .with("--health-interval", "1h")
            .with("--cloudtrail", directory.join("bucket").display());
        more.iter()
            .fold(options, |options, (name, value)| options.with(name, value))
    });
    let bucket = scene.directory().join("bucket");
    (scene, bucket)
}

/// Stops the simulator, which delivers the remaining records, and returns all records.
fn stop_and_read(scene: &mut Scene, bucket: &Path) -> Vec<Value> {
    scene.simulator.daemon.signal(Signal::TERM);
    assert_eq!(scene.simulator.daemon.wait().code(), Some(0));
    records(bucket).concat()
}

fn records_of<'a>(records: &'a [Value], operation: &str) -> Vec<&'a Value> {
    let same = records
        .iter()
        .filter(|record| record["eventName"] == operation);
    same.collect()
}

#[test]
fn cloudtrail_links_calls_with_requests_to_the_proxy() {
    let (mut scene, bucket) = with_cloudtrail(&[("--cloudtrail-interval", "50ms")]);
    scene.fake.be_honest();
    let blob = scene.blob();
    scene.decrypt(&blob).unwrap();
    let this = json!({"KeyId": scene.key});
    let usage = scene.kms.ok("GetKeyLastUsage", &this)["KeyLastUsage"].clone();
    let (name, _) = scene
        .kms
        .call(
            "Decrypt",
            &json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "b"}}),
        )
        .unwrap_err();
    let other = scene
        .kms
        .call("DescribeKey", &json!({"KeyId": "alias/none"}));
    assert!(other.is_err());
    // Late records are delivered while the simulator runs.
    eventually("a delivery", || {
        (!records(&bucket).is_empty()).then_some(())
    });
    let all = stop_and_read(&mut scene, &bucket);
    // The order of deliveries within a minute is not defined.
    let (wrong, right): (Vec<_>, Vec<_>) = records_of(&all, "Decrypt")
        .into_iter()
        .partition(|record| record["errorCode"].is_string());
    let ([right], [wrong]) = (&right[..], &wrong[..]) else {
        panic!("{all:?}")
    };
    assert_joined(&scene, right, &usage);
    // The record of a failure has the key of the ciphertext.
    assert_eq!(wrong["errorCode"], name.as_str());
    assert_eq!(wrong["resources"], right["resources"]);
    let context = &wrong["requestParameters"]["encryptionContext"];
    assert_eq!(context, &json!({"a": "b"}));
    let unknown = records_of(&all, "DescribeKey")[0];
    assert_eq!(unknown["errorCode"], "NotFoundException");
    let text = json!(all).to_string();
    for secret in [
        blob.as_str().unwrap(),
        "Mn6bVc4xZl2kJh0gFd8sAp9oIu7yTr5eWq3LkJhGfDs=",
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_layout(&bucket);
}

/// Checks that the record of a Decrypt matches the request to the proxy and the last usage.
#[track_caller]
fn assert_joined(scene: &Scene, record: &Value, usage: &Value) {
    let metadata = &scene.fake.seen("decrypt")[0].body["requestMetadata"];
    assert_eq!(record["requestID"], metadata["kmsRequestId"]);
    assert_eq!(record["resources"][0]["ARN"], metadata["kmsKeyArn"]);
    assert_eq!(usage["KmsRequestId"], record["requestID"]);
    assert_eq!(usage["CloudTrailEventId"], record["eventID"]);
    let data = &record["additionalEventData"];
    assert_eq!(data["customKeyStoreId"], scene.store.as_str());
    assert_eq!(
        (&record["readOnly"], &record["errorCode"]),
        (&json!(true), &Value::Null)
    );
}

/// Checks the names of files, and that digests list every file.
#[track_caller]
fn assert_layout(bucket: &Path) {
    let all = files(bucket);
    let (digests, trail): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|file| file.to_string_lossy().contains("/CloudTrail-Digest/"));
    let digested: BTreeSet<_> = digests
        .iter()
        .flat_map(|file| read(file)["logFiles"].as_array().unwrap().clone())
        .map(|entry| bucket.join(entry["s3Object"].as_str().unwrap()))
        .collect();
    assert_eq!(digested, trail.iter().map(|file| (*file).clone()).collect());
    for file in trail {
        let name = file.file_name().unwrap().to_str().unwrap();
        let parts: Vec<_> = name.split(['_', '.']).collect();
        let [
            "111122223333",
            "CloudTrail",
            REGION,
            time,
            unique,
            "json",
            "gz",
        ] = parts[..]
        else {
            panic!("{name}")
        };
        assert!(
            time.len() == 14 && time.ends_with('Z') && unique.len() == 16,
            "{name}"
        );
        let (year, month, day) = (&time[..4], &time[4..6], &time[6..8]);
        let place = format!("AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{year}/{month}/{day}");
        assert_eq!(file.parent().unwrap(), bucket.join(place));
    }
}

/// Encrypts several times, so that a fault of every second record affects half of the calls.
fn encrypt_often(scene: &Scene) {
    for _ in 0..20 {
        scene.blob();
    }
}

/// Returns the number of records of Encrypt and the number of different events.
fn counts(records: &[Value]) -> [usize; 2] {
    let found = records_of(records, "Encrypt");
    let ids: BTreeSet<_> = found
        .iter()
        .map(|record| record["eventID"].to_string())
        .collect();
    [found.len(), ids.len()]
}

#[test]
fn injected_faults_lose_repeat_and_delay_records() {
    for (option, expected) in [
        ("--cloudtrail-lose", [10, 10]),
        ("--cloudtrail-repeat", [30, 20]),
    ] {
        let (mut scene, bucket) = with_cloudtrail(&[(option, "2")]);
        encrypt_often(&scene);
        let all = stop_and_read(&mut scene, &bucket);
        assert_eq!(counts(&all), expected, "{option}");
    }
    let (mut scene, bucket) = with_cloudtrail(&[
        ("--cloudtrail-delay", "2"),
        ("--cloudtrail-delay-by", "1h"),
        ("--cloudtrail-interval", "50ms"),
    ]);
    encrypt_often(&scene);
    let in_time = || counts(&records(&bucket).concat())[0];
    eventually("the records in time", || (in_time() >= 10).then_some(()));
    assert_eq!(in_time(), 10);
    assert_eq!(counts(&stop_and_read(&mut scene, &bucket)), [20, 20]);
}

#[test]
fn each_documented_alarm_fires() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "2s")
            .with("--health-interval", "100ms")
            .with("--quota", "20")
    });
    scene.blob();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/connect.md");
    let mut facts = json!({
        "url": scene.simulator.url(),
        "account": ACCOUNT,
        "region": REGION,
        "store": scene.store,
        "page": page,
        // The average latency is left out, because it depends on the load of the machine.
        "quiet": ["retryable", "final", "certificate", "hsm", "throttle"],
        "with_data": ["latency", "certificate", "hsm"],
        "all_fire": false,
    });
    eventually("an age of the credential", || {
        let age = scene
            .simulator
            .metric("xks_proxy_credential_age_days", &[("store", &scene.store)]);
        (age > 0.0).then_some(())
    });
    run_program("alarms.py", &[], &facts);
    provoke_alarms(&scene);
    (facts["quiet"], facts["with_data"], facts["all_fire"]) = (json!([]), json!([]), json!(true));
    run_program("alarms.py", &[], &facts);
}

/// Provokes each alarm. There are more than ten errors, so more than five of them are in the same minute even if a minute ends in between.
fn provoke_alarms(scene: &Scene) {
    scene.fake.act(|seen| match seen.operation.as_str() {
        "health" => Act::Answer,
        _ => error_response(400, "InvalidKeyUsageException"),
    });
    let errors = |retryable: &str| {
        let labels = [("store", scene.store.as_str()), ("retryable", retryable)];
        scene.simulator.metric("xks_proxy_errors_total", &labels)
    };
    eventually("12 final errors", || {
        drop(scene.kms.encrypt(&scene.key));
        (errors("false") >= 12.0).then_some(())
    });
    wait_for_hsm_state(scene, "UNAVAILABLE", |_, answer| {
        answer["ekmFleetDetails"][0]["healthStatus"] = "UNAVAILABLE".into();
    });
    wait_for_hsm_state(scene, "DEGRADED", |_, answer| {
        answer["ekmFleetDetails"][0]["healthStatus"] = "DEGRADED".into();
    });
    let encrypt_at_once = || {
        let (kms, key) = (scene.kms.clone(), scene.key.clone());
        at_once(40, move |_| kms.encrypt(&key))
    };
    eventually("a request too many", || {
        let answers = encrypt_at_once();
        let mut rejected = answers.iter().filter_map(|answer| answer.as_ref().err());
        rejected
            .any(|(name, _)| name == "ThrottlingException")
            .then_some(())
    });
    scene.fake.act(|seen| match seen.operation.as_str() {
        "health" => Act::Answer,
        _ => Act::Hang,
    });
    eventually("12 retryable errors", || {
        encrypt_at_once();
        (errors("true") >= 12.0).then_some(())
    });
    scene.fake.be_honest();
    let identity = scene.authority.server_for_that_ends_in(&NAMES, 5);
    scene.fake.show(tls_server(&identity, None));
    eventually("a certificate that ends soon", || {
        drop(scene.kms.encrypt(&scene.key));
        let labels = [("store", scene.store.as_str())];
        let name = "xks_proxy_certificate_days_to_expire";
        (scene.simulator.metric(name, &labels) < 10.0).then_some(())
    });
}

/// Changes the responses to health checks, and waits until a check has found an HSM in this state.
fn wait_for_hsm_state(scene: &Scene, state: &str, change: fn(&Value, &mut Value)) {
    scene.fake.act(move |seen| match seen.operation.as_str() {
        "health" => Act::Change(change),
        _ => Act::Answer,
    });
    eventually(state, || {
        let labels = [("store", scene.store.as_str()), ("state", state)];
        let name = "xks_external_key_manager_states";
        (scene.simulator.metric(name, &labels) > 0.0).then_some(())
    });
}
