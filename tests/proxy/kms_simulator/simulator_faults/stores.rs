//! Several stores at once, concurrent updates of one store, and the messages by which clients classify errors.

use serde_json::{Value, json};

use super::fake_proxy::{Act, Seen};
use super::scene::Scene;
use crate::harness::metrics::eventually;
use crate::harness::simulator::at_once;

/// Returns the path of the proxy of a store.
fn path(scene: &Scene, store: &str) -> String {
    let store = scene.kms.store(store);
    let path = store["XksProxyConfiguration"]["UriPath"].as_str();
    path.unwrap().to_owned()
}

#[test]
fn a_hanging_proxy_does_not_delay_health_checks_of_other_stores() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "60s")
            .with("--health-interval", "100ms")
    });
    let other = scene.new_store("second.test");
    assert_eq!(scene.kms.connect(&other), "CONNECTED");
    let hanging = path(&scene, &scene.store);
    scene.fake.act(
        move |seen| match seen.request.target.starts_with(&hanging) {
            true => Act::Hang,
            false => Act::Answer,
        },
    );
    let checks = |path: &str| {
        let seen = scene.fake.seen("health");
        seen.iter()
            .filter(|seen| seen.request.target.starts_with(path))
            .count()
    };
    let (slow, quick) = (path(&scene, &scene.store), path(&scene, &other));
    eventually("a check that hangs", || (checks(&slow) > 0).then_some(()));
    let before = checks(&quick);
    eventually("checks checks the other store", || {
        (checks(&quick) >= before + 5).then_some(())
    });
    assert_eq!(checks(&slow), 1, "one check at a time");
    scene.fake.be_honest();
    eventually("checks checks both", || {
        (checks(&slow) > 1 && checks(&quick) > 1).then_some(())
    });
}

/// Returns a credential whose access key id ends with this digit.
fn credential(digit: char) -> Value {
    json!({
        "AccessKeyId": format!("XKSNEWKEYAAAAAAAAAA{digit}"),
        "RawSecretAccessKey": "Mn6bVc4xZl2kJh0gFd8sAp9oIu7yTr5eWq3LkJhGfDs=",
    })
}

#[test]
fn all_concurrent_updates_of_a_store_are_applied() {
    let scene = Scene::start();
    // All updates have read the store before the first one is applied, because each of them waits for the proxy.
    let is_first = |seen: &Seen| match seen.before < 2 {
        true => Act::Hang,
        false => Act::Answer,
    };
    scene.fake.act(is_first);
    let new_path = format!("/elsewhere-{}/kms/xks/v1", scene.number());
    let bodies = [
        json!({ "CustomKeyStoreId": scene.store, "XksProxyUriPath": new_path }),
        json!({ "CustomKeyStoreId": scene.store, "XksProxyAuthenticationCredential": credential('Z') }),
    ];
    std::thread::scope(|scope| {
        let kms = scene.kms.clone();
        let updates = scope.spawn(move || {
            at_once(2, move |number| {
                kms.call("UpdateCustomKeyStore", &bodies[number])
            })
        });
        eventually("two updates that wait", || {
            (scene.fake.seen("health").len() == 2).then_some(())
        });
        scene.fake.be_honest();
        for update in updates.join().unwrap() {
            update.unwrap();
        }
    });
    let configuration = scene.kms.store(&scene.store)["XksProxyConfiguration"].clone();
    assert_eq!(configuration["UriPath"], json!(new_path));
    assert_eq!(configuration["AccessKeyId"], "XKSNEWKEYAAAAAAAAAAZ");
    // The second update was verified again on top of the first one.
    let verified = scene.fake.seen("health");
    let last = verified.last().unwrap();
    assert!(
        last.request.target.starts_with(&new_path),
        "{}",
        last.request.target
    );
    assert!(
        last.request
            .value("authorization")
            .contains("XKSNEWKEYAAAAAAAAAAZ")
    );
    scene.kms.encrypt(&scene.key).unwrap();
}

/// Returns whether the EKS encryption provider (aws-encryption-provider, `ParseError`) attributes an exception to the owner of the key.
fn is_user_induced(name: &str, message: &str) -> bool {
    match name {
        "KMSInvalidStateException" | "DisabledException" => true,
        "AccessDeniedException" => message.contains("customer master key that does not exist") || message.contains("does not exist in this region"),
        "KMSInternalException" => message.contains(
            "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator",
        ),
        _ => false,
    }
}

#[test]
fn the_eks_encryption_provider_recognizes_the_messages() {
    for (option, name) in [
        (None, "KMSInvalidStateException"),
        (Some("--internal-timeouts"), "KMSInternalException"),
    ] {
        let scene = Scene::start_with(|options, _| {
            let options = options
                .with("--timeout", "500ms")
                .with("--health-interval", "1h");
            option.map_or(options.clone(), |option| options.flag(option))
        });
        scene.fake.act(|_| Act::Hang);
        let (found, message) = scene.kms.encrypt(&scene.key).unwrap_err();
        scene.fake.be_honest();
        assert_eq!(found, name);
        assert!(
            message.contains("did not respond in time") && is_user_induced(&found, &message),
            "{message}"
        );
    }
    let scene = Scene::start();
    let blob = scene.blob();
    let elsewhere = scene.simulator.caller("111122223333", "us-east-1");
    let (name, message) = elsewhere
        .call("Decrypt", &json!({ "CiphertextBlob": blob }))
        .unwrap_err();
    assert!(is_user_induced(&name, &message), "{name}: {message}");
}
