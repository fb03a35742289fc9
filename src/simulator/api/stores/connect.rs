//! ConnectCustomKeyStore, DisconnectCustomKeyStore, and the health checks of connected stores.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::simulator::api::proxy_calls::{ProxyClient, check_serving};
use crate::simulator::api::stores::management::StoreIdRequest;
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::callers::principals::CallerProperties;
use crate::simulator::cloudwatch::StoreName;
use crate::simulator::crypto::random;
use crate::simulator::kms::Kms;
use crate::simulator::proxy::errors::ConnectionError;
use crate::simulator::proxy::link::{LinkSettings, ProxyLink};
use crate::simulator::proxy::responses::HealthCounts;
use crate::simulator::state::KmsState;
use crate::simulator::state::stores::{ConnectionState, CustomKeyStore};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind, no_store};
use crate::sync::task;

/// One attempt to connect a store.
#[derive(Clone)]
struct ConnectAttempt {
    account: String,
    region: String,
    store: String,
    number: u64,
}

/// ConnectCustomKeyStore. It returns at once; a task connects the store.
pub(in crate::simulator) async fn connect(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreIdRequest::of(body)?, &call.caller);
    let begun = kms
        .change(|state| {
            let store = store_mut(state, &caller.account, &caller.region, &id)?;
            match store.state {
                ConnectionState::Disconnected => {}
                ConnectionState::Connected | ConnectionState::Connecting => return Ok(None),
                ConnectionState::Failed(_) => {
                    return Err(ExceptionKind::CustomKeyStoreInvalidState.with_message(
                        "The custom key store failed to connect: disconnect it before you connect it again.",
                    ));
                }
            }
            store.state = ConnectionState::Connecting;
            store.attempt += 1;
            let link_settings = store.proxy.link_settings(&caller.region);
            Ok(Some((link_settings, store.attempt)))
        })
        .await?;
    if let Some((link_settings, number)) = begun {
        let attempt = ConnectAttempt {
            account: caller.account.clone(),
            region: caller.region.clone(),
            store: id,
            number,
        };
        task(
            "connect",
            finish_connecting(Arc::clone(kms), call.clone(), link_settings, attempt),
        );
    }
    Ok(json!({}))
}

/// Checks the health of the proxy and sets the state of the store, unless the store was disconnected in the meantime.
async fn finish_connecting(
    kms: Arc<Kms>,
    call: KmsCall,
    link_settings: LinkSettings,
    attempt: ConnectAttempt,
) {
    let outcome = first_health(&kms, &call, link_settings, &attempt.store).await;
    let new_state = match &outcome {
        Ok(_) => ConnectionState::Connected,
        Err(code) => ConnectionState::Failed(*code),
    };
    let settled = kms.change(|state| {
        let store = store_mut(state, &attempt.account, &attempt.region, &attempt.store)?;
        let is_ours = store.state == ConnectionState::Connecting && store.attempt == attempt.number;
        if is_ours {
            store.runtime.set_link(outcome.ok().map(Arc::new));
            store.state = new_state;
        }
        Ok(is_ours)
    });
    if let Ok(true) = settled.await {
        report_state(&kms, &call.caller, &attempt.store, new_state);
    }
}

async fn first_health(
    kms: &Kms,
    call: &KmsCall,
    link_settings: LinkSettings,
    store: &str,
) -> Result<ProxyLink, ConnectionError> {
    // A missing client certificate is reported as a TLS error.
    let link = kms
        .link(link_settings)
        .map_err(|_| ConnectionError::XksProxyInvalidTlsConfiguration)?;
    let client = ProxyClient::for_health(kms, &link, Some(store), "ConnectCustomKeyStore", call);
    let health = client.health().await;
    if let Ok(health) = health {
        let KmsCaller {
            account, region, ..
        } = &call.caller;
        publish_health(kms, account, region, store, health);
    }
    health
        .and_then(check_serving)
        .map_err(|error| error.for_connection())?;
    Ok(link)
}

/// DisconnectCustomKeyStore. It takes effect at once and does not call the proxy.
pub(in crate::simulator) async fn disconnect(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreIdRequest::of(body)?, &call.caller);
    kms.change(|state| {
        let store = store_mut(state, &caller.account, &caller.region, &id)?;
        if store.state == ConnectionState::Disconnected {
            return Err(ExceptionKind::CustomKeyStoreInvalidState
                .with_message("The custom key store is already disconnected."));
        }
        store.state = ConnectionState::Disconnected;
        store.runtime.set_link(None);
        Ok(())
    })
    .await?;
    report_state(kms, caller, &id, ConnectionState::Disconnected);
    Ok(json!({}))
}

/// Returns a store for modification.
pub(in crate::simulator) fn store_mut<'a>(
    state: &'a mut KmsState,
    account: &str,
    region: &str,
    id: &str,
) -> Result<&'a mut CustomKeyStore, Exception> {
    let region_state = state.region_state_mut(account, region);
    let store = region_state.and_then(|region_state| region_state.stores.get_mut(id));
    store.ok_or_else(|| no_store(id))
}

fn report_state(kms: &Kms, caller: &KmsCaller, id: &str, state: ConnectionState) {
    let code = match state {
        ConnectionState::Failed(code) => json!(code),
        _ => Value::Null,
    };
    let members = json!({
        "account": caller.account,
        "region": caller.region,
        "custom_key_store_id": id,
        "connection_state": state.as_str(),
        "connection_error_code": code,
    });
    kms.events.emit("store_state", members, || match &code {
        Value::String(code) => format!("{id} is {}: {code}", state.as_str()),
        _ => format!("{id} is {}", state.as_str()),
    });
}

/// Connects the stores again that were connected or connecting when the state was saved.
pub(in crate::simulator) fn resume(kms: &Arc<Kms>) -> Result<(), Exception> {
    for (account, region, id) in stores(kms) {
        let unfinished = {
            let mut state = kms.state.write().unwrap_or_else(crate::sync::poisoned);
            let store = store_mut(&mut state, &account, &region, &id)?;
            match store.state {
                ConnectionState::Connected => {
                    let link = kms.link(store.proxy.link_settings(&region))?;
                    store.runtime.set_link(Some(Arc::new(link)));
                    None
                }
                ConnectionState::Connecting => {
                    Some((store.proxy.link_settings(&region), store.attempt))
                }
                ConnectionState::Disconnected | ConnectionState::Failed(_) => None,
            }
        };
        if let Some((link_settings, number)) = unfinished {
            let call = internal_call(&account, &region)?;
            let attempt = ConnectAttempt {
                account,
                region,
                store: id,
                number,
            };
            task(
                "connect",
                finish_connecting(Arc::clone(kms), call, link_settings, attempt),
            );
        }
    }
    Ok(())
}

/// Runs until it is aborted: checks the health of stores, publishes ages, and deletes keys at the end of their waiting period.
pub(in crate::simulator) async fn maintain(kms: Arc<Kms>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate, when no store is connected.
    ticks.tick().await;
    let mut checks = HashMap::new();
    loop {
        ticks.tick().await;
        // A store has one check at a time, so a slow proxy does not delay the checks of other stores.
        checks.retain(|_, check: &mut JoinHandle<()>| !check.is_finished());
        for region_state in stores(&kms) {
            let start = || {
                task(
                    "health-check",
                    check(Arc::clone(&kms), region_state.clone()),
                )
            };
            checks.entry(region_state.clone()).or_insert_with(start);
        }
        let is_due = |state: &mut KmsState| Ok(state.forget_deleted(now()));
        drop(kms.change_if(is_due).await);
    }
}

async fn check(kms: Arc<Kms>, (account, region, id): (String, String, String)) {
    // The check fails if there are no random bytes for the request id. The next tick repeats it.
    drop(check_health(&kms, &account, &region, &id).await);
}

async fn check_health(kms: &Kms, account: &str, region: &str, id: &str) -> Result<(), Exception> {
    let found = kms.read(|state| {
        let store = state.region_state(account, region)?.stores.get(id)?;
        Some((store.runtime.link(), store.proxy.credential.since))
    });
    let Some((link, since)) = found else {
        return Ok(());
    };
    let age = now() - since;
    kms.metrics.record_credential_age(id, age);
    let store = StoreName {
        account,
        region,
        id,
    };
    kms.cloudwatch.record_ages(store, age);
    let Some(link) = link else { return Ok(()) };
    let call = internal_call(account, region)?;
    let client = ProxyClient::for_health(kms, &link, Some(id), "KmsHealthCheck", &call);
    if let Ok(health) = client.health().await {
        publish_health(kms, account, region, id, health);
    }
    Ok(())
}

fn publish_health(kms: &Kms, account: &str, region: &str, id: &str, health: HealthCounts) {
    let store = StoreName {
        account,
        region,
        id,
    };
    kms.metrics.record_health(id, health);
    kms.cloudwatch.record_health(store, health);
}

fn stores(kms: &Kms) -> Vec<(String, String, String)> {
    kms.read(|state| {
        let region_states = state.region_states();
        let stores = region_states.flat_map(|((account, region), region_state)| {
            region_state
                .stores
                .keys()
                .map(move |id| (account.to_owned(), region.to_owned(), id.clone()))
        });
        stores.collect()
    })
}

/// Returns a call that KMS makes for itself.
fn internal_call(account: &str, region: &str) -> Result<KmsCall, Exception> {
    let caller = KmsCaller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: String::new(),
        is_authenticated: false,
        properties: CallerProperties::default(),
    };
    let request_id = random::uuid()?;
    Ok(KmsCall { caller, request_id })
}
