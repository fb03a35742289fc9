//! The VPC endpoints that a key store allows: observed, enforced, and in policies.

use serde_json::Value;

use crate::harness::balancer::{Balancer, ENDPOINT, require};
use crate::harness::command::run;
use crate::harness::response::Response;
use crate::harness::trail::Trail;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

const OTHER: &str = "vpce-ffffffffffffffff0";

/// Returns the lines of the key store with the list and this mode.
fn store_lines(mode: &str) -> String {
    format!("allowed_vpc_endpoints = [\"{ENDPOINT}\"]\nvpc_endpoint_mode = \"{mode}\"")
}

/// Starts a proxy behind a balancer. Its key store allows the endpoint.
fn with_list(mode: &str) -> (Proxy, Balancer, Trail) {
    let mut trail = None;
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        trail = Some(setup.audit(""));
        setup.in_store(&PAYMENTS, &store_lines(mode));
    });
    let balancer = Balancer::before(&mut proxy);
    (proxy, balancer, trail.unwrap())
}

fn rejected(proxy: &Proxy) -> f64 {
    let rejected = proxy.metric("xks_vpc_endpoint_refused_total", &[]);
    rejected.expect("a counter that exists from the start")
}

fn call(proxy: &Proxy, operation: &str) -> (Value, Response) {
    let body = match operation {
        "encrypt" => encrypt_body(b"x"),
        operation => plain_body(operation),
    };
    let response = proxy.caller(&PAYMENTS).call(operation, "orders", &body);
    (body, response)
}

#[test]
fn observe_serves_and_logs_and_a_reload_changes_the_mode() {
    let (proxy, balancer, _) = with_list("observe");
    for endpoint in [Some(OTHER), None] {
        balancer.say(endpoint, None);
        let (body, response) = call(&proxy, "encrypt");
        response.ok();
        let line = proxy.access_line(&body);
        assert_eq!(line["vpc_endpoint_allowed"], false);
        assert_eq!(line["vpc_endpoint"].as_str(), endpoint);
    }
    balancer.say(Some(ENDPOINT), None);
    let (body, response) = call(&proxy, "encrypt");
    response.ok();
    assert!(proxy.access_line(&body)["vpc_endpoint_allowed"].is_null());
    assert_eq!(rejected(&proxy), 0.0);
    // One connection is used before and after the reloads.
    balancer.say(Some(OTHER), None);
    let mut connection = proxy.connect();
    let mut status = || {
        let body = plain_body("health").to_string();
        let request = proxy.caller(&PAYMENTS).request("health", "", body);
        connection.exchange(&request).status
    };
    assert_eq!(status(), 200);
    let (observe, enforce) = (proxy.setup.toml(), {
        let toml = proxy.setup.toml();
        toml.replace(
            "vpc_endpoint_mode = \"observe\"",
            "vpc_endpoint_mode = \"enforce\"",
        )
    });
    proxy.reconfigure_by(&enforce);
    assert_eq!(status(), 401);
    proxy.reconfigure_by(&observe);
    assert_eq!(status(), 200);
    assert!(proxy.has_changed("key_store.payments.vpc_endpoint_mode", "changed"));
    // After the key store was reconnected, KMS uses another endpoint.
    let reconnected = enforce.replace(ENDPOINT, OTHER);
    proxy.reconfigure_by(&reconnected);
    assert_eq!(status(), 200);
    let setting = "key_store.payments.allowed_vpc_endpoints";
    assert!(proxy.has_changed(setting, "changed"));
}

#[test]
fn enforce_has_the_response_of_a_wrong_signature() {
    let (proxy, balancer, trail) = with_list("enforce");
    let wrong = {
        let mut caller = proxy.caller(&PAYMENTS);
        caller.signer.secret = "x".repeat(43);
        caller.call("health", "", &plain_body("health"))
    };
    wrong.assert_error(401, "AuthenticationFailedException");
    let mut expected = 0.0;
    for endpoint in [Some(OTHER), None] {
        balancer.say(endpoint, None);
        for operation in ["health", "metadata", "encrypt"] {
            let (_, response) = call(&proxy, operation);
            response.assert_error(401, "AuthenticationFailedException");
            assert_eq!(response.body, wrong.body, "{operation}");
            let names = |response: &Response| -> Vec<String> {
                response
                    .headers
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect()
            };
            assert_eq!(names(&response), names(&wrong));
            expected += 1.0;
        }
        // Other key stores are not affected.
        proxy.caller(&RETAIL).health();
    }
    assert_eq!(rejected(&proxy), expected);
    let reason = format!("the key store does not allow the VPC endpoint {OTHER}");
    proxy.daemon.wait_for("the reason", |line| {
        line["message"] == "request" && line["reason"] == reason.as_str()
    });
    let line = trail.wait_for("the failure in the audit trail", |line| {
        line["event"] == "authentication_failed" && line["reason"] == reason.as_str()
    });
    assert_eq!(line["vpc_endpoint"], OTHER);
    assert!(line["client"].is_string() && line["peer"].is_string());
    balancer.say(Some(ENDPOINT), None);
    for operation in ["health", "metadata", "encrypt"] {
        call(&proxy, operation).1.ok();
    }
    // A wrong signature from an allowed endpoint is still rejected.
    let mut caller = proxy.caller(&PAYMENTS);
    caller.signer.secret = "x".repeat(43);
    let response = caller.call("health", "", &plain_body("health"));
    response.assert_error(401, "AuthenticationFailedException");
    assert_eq!(rejected(&proxy), expected);
    trail.assert_chain();
}

#[test]
fn a_connection_without_proxy_protocol_has_no_endpoint() {
    let listen = "[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]";
    let proxy = Proxy::start_with(|setup| {
        require(setup);
        setup.set("server", "listen", listen);
        setup.in_store(&PAYMENTS, &store_lines("enforce"));
    });
    let (_, response) = call(&proxy, "health");
    response.assert_error(401, "AuthenticationFailedException");
    proxy.daemon.wait_for("the warning at the start", |line| {
        let warning = line["warning"].as_str().unwrap_or_default();
        warning.contains("\"enforce\" rejects every request through 127.0.0.1:0")
    });
}

#[test]
fn new_listeners_and_enforcement_in_one_change_take_effect_at_the_restart() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| {
        require(setup);
        setup.in_store(&PAYMENTS, &store_lines("enforce"));
    });
    let (_, response) = call(&proxy, "health");
    response.ok();
    for setting in ["server.listen", "key_store.payments.vpc_endpoint_mode"] {
        let labels = [("setting", setting), ("reason", "restart")];
        let not_applied = proxy.metric("xks_reload_not_applied", &labels);
        assert_eq!(not_applied, Some(1.0), "{setting}");
    }
    proxy.kill_and_start_again();
    let balancer = Balancer::before(&mut proxy);
    call(&proxy, "health").1.ok();
    balancer.say(Some(OTHER), None);
    let (_, response) = call(&proxy, "health");
    response.assert_error(401, "AuthenticationFailedException");
}

#[test]
fn policies_can_use_endpoint_and_client_address() {
    let rules = format!(
        "permit(principal, action, resource) when {{ context has transport_vpc_endpoint \
         && context.transport_vpc_endpoint == \"{ENDPOINT}\" \
         && context has client_address && context.client_address.isInRange(ip(\"10.20.0.0/16\")) }};"
    );
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        setup.audit("");
        let file = setup.directory.join("rules.cedar");
        std::fs::write(&file, &rules).unwrap();
        let table = format!("[policy]\nengine = \"cedar\"\npath = {file:?}\n");
        setup.edit("[server]\n", &format!("{table}[server]\n"));
    });
    let balancer = Balancer::before(&mut proxy);
    for (endpoint, client, is_allowed) in [
        (Some(ENDPOINT), "10.20.30.40:1", true),
        (Some(OTHER), "10.20.30.40:1", false),
        (None, "10.20.30.40:1", false),
        (Some(ENDPOINT), "10.21.30.40:1", false),
        (Some(ENDPOINT), "10.20.30.41:2", true),
    ] {
        balancer.say(endpoint, Some(client));
        let (body, response) = call(&proxy, "encrypt");
        match is_allowed {
            true => drop(response.ok()),
            false => response.assert_error(403, "AccessDeniedException"),
        }
        // The audit trail contains the inputs of the policy.
        let id = body["requestMetadata"]["kmsRequestId"].as_str().unwrap();
        let explain = ["policy", "explain", "--kms-request-id", id];
        run(&proxy.setup, &explain).expect(i32::from(!is_allowed), &["permitted"]);
    }
}

#[test]
fn failed_authentications_are_counted_by_endpoint() {
    let (proxy, balancer, trail) = with_list("observe");
    let third = "vpce-eeeeeeeeeeeeeeee0";
    let mut caller = proxy.caller(&PAYMENTS);
    caller.signer.secret = "x".repeat(43);
    for (endpoint, client) in [
        (OTHER, "10.0.0.1:1"),
        (OTHER, "10.0.0.2:1"),
        (third, "10.0.0.1:1"),
    ] {
        balancer.say(Some(endpoint), Some(client));
        let response = caller.call("health", "", &plain_body("health"));
        response.assert_error(401, "AuthenticationFailedException");
    }
    let failed = |line: &Value| line["event"] == "authentication_failed";
    let aggregated = trail.wait_for("the aggregate line of the second failure", |line| {
        failed(line) && line["source"] == OTHER
    });
    assert_eq!(aggregated["count"], 1);
    let lines = trail.of_kind("security");
    let own_lines = lines
        .iter()
        .filter(|line| failed(line) && line["count"].is_null());
    let clients: Vec<_> = own_lines
        .map(|line| (&line["vpc_endpoint"], &line["client"]))
        .collect();
    let expected = [(OTHER, "10.0.0.1:1"), (third, "10.0.0.1:1")];
    assert_eq!(clients.len(), expected.len(), "{lines:?}");
    for ((endpoint, client), expected) in clients.into_iter().zip(expected) {
        assert_eq!(
            (endpoint.as_str(), client.as_str()),
            (Some(expected.0), Some(expected.1))
        );
    }
}
