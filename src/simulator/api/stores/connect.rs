//! ConnectCustomKeyStore, DisconnectCustomKeyStore, and the health checks of what is connected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::simulator::api::proxy_calls::{Asker, serving};
use crate::simulator::api::stores::management::StoreId;
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::callers::principals::Facts;
use crate::simulator::cloudwatch::StoreName;
use crate::simulator::crypto::random;
use crate::simulator::proxy::faults::ConnectionError;
use crate::simulator::proxy::link::{Link, Recipe};
use crate::simulator::proxy::responses::Health;
use crate::simulator::state::State;
use crate::simulator::state::stores::{ConnectionState, Store};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, Kind, no_store};
use crate::simulator::world::World;
use crate::sync::task;

/// Which store, of which account and Region, in which attempt to connect it.
#[derive(Clone)]
struct Attempt {
    account: String,
    region: String,
    store: String,
    number: u64,
}

/// ConnectCustomKeyStore: answers at once, and goes on.
pub(in crate::simulator) async fn connect(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreId::of(body)?, &call.caller);
    let begun = world
        .change(|state| {
            let store = store_mut(state, &caller.account, &caller.region, &id)?;
            match store.state {
                ConnectionState::Disconnected => {}
                ConnectionState::Connected | ConnectionState::Connecting => return Ok(None),
                ConnectionState::Failed(_) => {
                    return Err(Kind::CustomKeyStoreInvalidState.because(
                        "The custom key store failed to connect: disconnect it before you connect it again.",
                    ));
                }
            }
            store.state = ConnectionState::Connecting;
            store.attempt += 1;
            let recipe = store.proxy.recipe(&caller.region);
            Ok(Some((recipe, store.attempt)))
        })
        .await?;
    if let Some((recipe, number)) = begun {
        let attempt = Attempt {
            account: caller.account.clone(),
            region: caller.region.clone(),
            store: id,
            number,
        };
        task(
            "connect",
            go_on(Arc::clone(world), call.clone(), recipe, attempt),
        );
    }
    Ok(json!({}))
}

/// Asks for health, and the store is connected or has failed; if nobody has disconnected it meanwhile.
async fn go_on(world: Arc<World>, call: Call, recipe: Recipe, attempt: Attempt) {
    let outcome = first_health(&world, &call, recipe, &attempt.store).await;
    let new_state = match &outcome {
        Ok(_) => ConnectionState::Connected,
        Err(code) => ConnectionState::Failed(*code),
    };
    let settled = world.change(|state| {
        let store = store_mut(state, &attempt.account, &attempt.region, &attempt.store)?;
        let is_ours = store.state == ConnectionState::Connecting && store.attempt == attempt.number;
        if is_ours {
            store.live.set_link(outcome.ok().map(Arc::new));
            store.state = new_state;
        }
        Ok(is_ours)
    });
    if let Ok(true) = settled.await {
        tell(&world, &call.caller, &attempt.store, new_state);
    }
}

async fn first_health(
    world: &World,
    call: &Call,
    recipe: Recipe,
    store: &str,
) -> Result<Link, ConnectionError> {
    // A client certificate that cannot be made is a fault of TLS.
    let link = world
        .link(recipe)
        .map_err(|_| ConnectionError::XksProxyInvalidTlsConfiguration)?;
    let asker = Asker::for_health(world, &link, Some(store), "ConnectCustomKeyStore", call);
    let health = asker.health().await;
    if let Ok(health) = health {
        let Caller {
            account, region, ..
        } = &call.caller;
        publish_health(world, account, region, store, health);
    }
    health
        .and_then(serving)
        .map_err(|fault| fault.of_connection())?;
    Ok(link)
}

/// DisconnectCustomKeyStore: at once, and without a word to the proxy.
pub(in crate::simulator) async fn disconnect(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreId::of(body)?, &call.caller);
    world
        .change(|state| {
            let store = store_mut(state, &caller.account, &caller.region, &id)?;
            if store.state == ConnectionState::Disconnected {
                return Err(Kind::CustomKeyStoreInvalidState
                    .because("The custom key store is disconnected already."));
            }
            store.state = ConnectionState::Disconnected;
            store.live.set_link(None);
            Ok(())
        })
        .await?;
    tell(world, caller, &id, ConnectionState::Disconnected);
    Ok(json!({}))
}

/// A store, to change it.
pub(in crate::simulator) fn store_mut<'a>(
    state: &'a mut State,
    account: &str,
    region: &str,
    id: &str,
) -> Result<&'a mut Store, Exception> {
    let place = state.known_mut(account, region);
    let store = place.and_then(|place| place.stores.get_mut(id));
    store.ok_or_else(|| no_store(id))
}

fn tell(world: &World, caller: &Caller, id: &str, state: ConnectionState) {
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
    world.events.tell("store_state", members, || match &code {
        Value::String(code) => format!("{id} is {}: {code}", state.as_str()),
        _ => format!("{id} is {}", state.as_str()),
    });
}

/// What was connected, or about to be, when the state was written, is so again.
pub(in crate::simulator) fn resume(world: &Arc<World>) -> Result<(), Exception> {
    for (account, region, id) in stores(world) {
        let unfinished = {
            let mut state = world.state.write().unwrap_or_else(crate::sync::poisoned);
            let store = store_mut(&mut state, &account, &region, &id)?;
            match store.state {
                ConnectionState::Connected => {
                    let link = world.link(store.proxy.recipe(&region))?;
                    store.live.set_link(Some(Arc::new(link)));
                    None
                }
                ConnectionState::Connecting => Some((store.proxy.recipe(&region), store.attempt)),
                ConnectionState::Disconnected | ConnectionState::Failed(_) => None,
            }
        };
        if let Some((recipe, number)) = unfinished {
            let call = own_call(&account, &region)?;
            let attempt = Attempt {
                account,
                region,
                store: id,
                number,
            };
            task("connect", go_on(Arc::clone(world), call, recipe, attempt));
        }
    }
    Ok(())
}

/// Looks after the stores: health, ages, and keys whose waiting period is over.
pub(in crate::simulator) async fn look_after(world: Arc<World>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, when nothing is connected.
    ticks.tick().await;
    let mut checks = HashMap::new();
    loop {
        ticks.tick().await;
        // One check at a time for a store: a slow proxy delays the checks of its own store only.
        checks.retain(|_, check: &mut JoinHandle<()>| !check.is_finished());
        for place in stores(&world) {
            let start = || task("health-check", check(Arc::clone(&world), place.clone()));
            checks.entry(place.clone()).or_insert_with(start);
        }
        let is_due = |state: &mut State| Ok(state.forget_deleted(now()));
        drop(world.change_if(is_due).await);
    }
}

async fn check(world: Arc<World>, (account, region, id): (String, String, String)) {
    // Without random bytes the request has no id. The next check tries again.
    drop(check_health(&world, &account, &region, &id).await);
}

async fn check_health(
    world: &World,
    account: &str,
    region: &str,
    id: &str,
) -> Result<(), Exception> {
    let found = world.read(|state| {
        let store = state.place(account, region)?.stores.get(id)?;
        Some((store.live.link(), store.proxy.credential.since))
    });
    let Some((link, since)) = found else {
        return Ok(());
    };
    let age = now() - since;
    world.counters.credential_age(id, age);
    let store = StoreName {
        account,
        region,
        id,
    };
    world.cloudwatch.ages(store, age);
    let Some(link) = link else { return Ok(()) };
    let call = own_call(account, region)?;
    let asker = Asker::for_health(world, &link, Some(id), "KmsHealthCheck", &call);
    if let Ok(health) = asker.health().await {
        publish_health(world, account, region, id, health);
    }
    Ok(())
}

fn publish_health(world: &World, account: &str, region: &str, id: &str, health: Health) {
    let store = StoreName {
        account,
        region,
        id,
    };
    world.counters.health(id, health);
    world.cloudwatch.health(store, health);
}

fn stores(world: &World) -> Vec<(String, String, String)> {
    world.read(|state| {
        let places = state.places();
        let stores = places.flat_map(|((account, region), place)| {
            place
                .stores
                .keys()
                .map(move |id| (account.to_owned(), region.to_owned(), id.clone()))
        });
        stores.collect()
    })
}

/// A call that nobody has made but KMS itself.
fn own_call(account: &str, region: &str) -> Result<Call, Exception> {
    let caller = Caller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: String::new(),
        is_named: false,
        facts: Facts::default(),
    };
    let request_id = random::uuid()?;
    Ok(Call { caller, request_id })
}
