//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, authorize_alias};
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::crypto::context::Context;
use crate::simulator::state::lookup::{Found, Names, find};
use crate::simulator::state::{Alias, State};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::alias_arn;
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, check, check_text, need};
use crate::simulator::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasFields {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// CreateAlias.
pub(in crate::simulator) async fn create(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasFields = wire::parse(body)?;
    let name = named(&request)?;
    let target = need(&request.target_key_id, "targetKeyId")?;
    authorize_alias(&call.caller, "CreateAlias", name)?;
    world
        .change(|state| {
            let key = target_of(state, &call.caller, target, "CreateAlias")?;
            let place = state.place_mut(&call.caller.account, &call.caller.region);
            if place.aliases.contains_key(name) {
                let arn = alias_arn(&call.caller.account, &call.caller.region, name);
                return Err(Kind::AlreadyExists
                    .because(format!("An alias with the name {arn} already exists")));
            }
            let alias = Alias {
                key,
                created: now(),
                updated: now(),
            };
            place.aliases.insert(name.to_owned(), alias);
            Ok(json!({}))
        })
        .await
}

/// UpdateAlias.
pub(in crate::simulator) async fn update(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasFields = wire::parse(body)?;
    let name = named(&request)?;
    let target = need(&request.target_key_id, "targetKeyId")?;
    authorize_alias(&call.caller, "UpdateAlias", name)?;
    world
        .change(|state| {
            let key = target_of(state, &call.caller, target, "UpdateAlias")?;
            check_old_target(state, &call.caller, name, "UpdateAlias")?;
            let place = state.place_mut(&call.caller.account, &call.caller.region);
            let alias = place
                .aliases
                .get_mut(name)
                .ok_or_else(|| no_alias(&call.caller, name))?;
            (alias.key, alias.updated) = (key, now());
            Ok(json!({}))
        })
        .await
}

/// DeleteAlias.
pub(in crate::simulator) async fn delete(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasFields = wire::parse(body)?;
    let name = named(&request)?;
    authorize_alias(&call.caller, "DeleteAlias", name)?;
    world
        .change(|state| {
            check_old_target(state, &call.caller, name, "DeleteAlias")?;
            let place = state.place_mut(&call.caller.account, &call.caller.region);
            let removed = place.aliases.remove(name);
            removed
                .map(|_| json!({}))
                .ok_or_else(|| no_alias(&call.caller, name))
        })
        .await
}

fn named(request: &AliasFields) -> Result<&str, Exception> {
    let name = need(&request.alias_name, "aliasName")?;
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-');
    check_text(name, 1..=256, is_legal, "aliasName")?;
    match name.strip_prefix("alias/") {
        None | Some("") => Err(Kind::Validation
            .because("Invalid alias: it must begin with alias/, and a name must follow.")),
        Some(rest) if rest.starts_with("aws/") => {
            Err(Kind::InvalidAliasName.because("Names that begin with alias/aws/ are AWS's own."))
        }
        Some(_) => Ok(name),
    }
}

/// The id of the key that an alias is to mean: one of the caller's own account, and not on its way out.
fn target_of(
    state: &State,
    caller: &Caller,
    target: &str,
    action: &str,
) -> Result<String, Exception> {
    let found = find(state, caller, target, Names::Keys);
    // These operations do not declare InvalidArnException.
    let found = found.map_err(|error| match error.kind {
        Kind::InvalidArn => Kind::Validation.because(error.message),
        _ => error,
    })?;
    check(
        found.account == caller.account,
        "targetKeyId",
        "Member must be a key of the same account",
    )?;
    authorize(&found, caller, action, &Context::default())?;
    found.check_not_pending()?;
    Ok(found.key.id.clone())
}

/// The caller must be allowed to take the alias from the key that has it.
fn check_old_target(
    state: &State,
    caller: &Caller,
    name: &str,
    action: &str,
) -> Result<(), Exception> {
    let found = find(state, caller, name, Names::KeysAndAliases)?;
    let found = Found {
        alias: None,
        ..found
    };
    authorize(&found, caller, action, &Context::default())
}

fn no_alias(caller: &Caller, name: &str) -> Exception {
    let arn = alias_arn(&caller.account, &caller.region, name);
    Kind::NotFound.because(format!("Alias {arn} is not found."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    key_id: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListAliases.
pub(in crate::simulator) fn list(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: List = wire::parse(body)?;
    let (account, region) = (&call.caller.account, &call.caller.region);
    world.read(|state| {
        let key = request
            .key_id
            .as_deref()
            .map(|id| find(state, &call.caller, id, Names::Keys))
            .transpose()?;
        let place = state.place(account, region);
        let aliases = place.into_iter().flat_map(|place| &place.aliases);
        let meant = aliases.filter(|(_, alias)| key.is_none_or(|found| found.key.id == alias.key));
        let items =
            meant.map(|(name, alias)| (name.as_str(), described(account, region, name, alias)));
        request.paging.page("Aliases", items, 50, 100)
    })
}

fn described(account: &str, region: &str, name: &str, alias: &Alias) -> Value {
    json!({
        "AliasName": name,
        "AliasArn": alias_arn(account, region, name),
        "TargetKeyId": alias.key,
        "CreationDate": alias.created,
        "LastUpdatedDate": alias.updated,
    })
}
