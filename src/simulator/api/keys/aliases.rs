//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, authorize_alias};
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, find};
use crate::simulator::state::{Alias, KmsState};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::alias_arn;
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, check, check_text, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasRequest {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// CreateAlias.
pub(in crate::simulator) async fn create(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasRequest = wire::parse(body)?;
    let name = checked_name(&request)?;
    let target = need(&request.target_key_id, "targetKeyId")?;
    authorize_alias(&call.caller, "CreateAlias", name)?;
    kms.change(|state| {
        let key = find_target(state, &call.caller, target, "CreateAlias")?;
        let region_state = state.region_state_or_new(&call.caller.account, &call.caller.region);
        if region_state.aliases.contains_key(name) {
            let arn = alias_arn(&call.caller.account, &call.caller.region, name);
            return Err(ExceptionKind::AlreadyExists
                .with_message(format!("An alias with the name {arn} already exists")));
        }
        let alias = Alias {
            key,
            created: now(),
            updated: now(),
        };
        region_state.aliases.insert(name.to_owned(), alias);
        Ok(json!({}))
    })
    .await
}

/// UpdateAlias.
pub(in crate::simulator) async fn update(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasRequest = wire::parse(body)?;
    let name = checked_name(&request)?;
    let target = need(&request.target_key_id, "targetKeyId")?;
    authorize_alias(&call.caller, "UpdateAlias", name)?;
    kms.change(|state| {
        let key = find_target(state, &call.caller, target, "UpdateAlias")?;
        check_old_target(state, &call.caller, name, "UpdateAlias")?;
        let region_state = state.region_state_or_new(&call.caller.account, &call.caller.region);
        let alias = region_state
            .aliases
            .get_mut(name)
            .ok_or_else(|| alias_not_found(&call.caller, name))?;
        (alias.key, alias.updated) = (key, now());
        Ok(json!({}))
    })
    .await
}

/// DeleteAlias.
pub(in crate::simulator) async fn delete(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: AliasRequest = wire::parse(body)?;
    let name = checked_name(&request)?;
    authorize_alias(&call.caller, "DeleteAlias", name)?;
    kms.change(|state| {
        check_old_target(state, &call.caller, name, "DeleteAlias")?;
        let region_state = state.region_state_or_new(&call.caller.account, &call.caller.region);
        let removed = region_state.aliases.remove(name);
        removed
            .map(|_| json!({}))
            .ok_or_else(|| alias_not_found(&call.caller, name))
    })
    .await
}

fn checked_name(request: &AliasRequest) -> Result<&str, Exception> {
    let name = need(&request.alias_name, "aliasName")?;
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-');
    check_text(name, 1..=256, is_legal, "aliasName")?;
    match name.strip_prefix("alias/") {
        None | Some("") => Err(ExceptionKind::Validation
            .with_message("Invalid alias: it must begin with alias/, and a name must follow.")),
        Some(rest) if rest.starts_with("aws/") => Err(ExceptionKind::InvalidAliasName
            .with_message("Names that begin with alias/aws/ are reserved for AWS.")),
        Some(_) => Ok(name),
    }
}

/// Returns the id of the target key. It must be in the caller's account and must not be pending deletion.
fn find_target(
    state: &KmsState,
    caller: &KmsCaller,
    target: &str,
    action: &str,
) -> Result<String, Exception> {
    let found = find(state, caller, target, AcceptedIds::Keys);
    // These operations do not declare InvalidArnException.
    let found = found.map_err(|error| match error.kind {
        ExceptionKind::InvalidArn => ExceptionKind::Validation.with_message(error.message),
        _ => error,
    })?;
    check(
        found.account == caller.account,
        "targetKeyId",
        "Member must be a key of the same account",
    )?;
    authorize(&found, caller, action, &EncryptionContext::default())?;
    found.check_not_pending()?;
    Ok(found.key.id.clone())
}

/// Checks that the caller may remove the alias from its present key.
fn check_old_target(
    state: &KmsState,
    caller: &KmsCaller,
    name: &str,
    action: &str,
) -> Result<(), Exception> {
    let found = find(state, caller, name, AcceptedIds::KeysAndAliases)?;
    let found = FoundKey {
        alias: None,
        ..found
    };
    authorize(&found, caller, action, &EncryptionContext::default())
}

fn alias_not_found(caller: &KmsCaller, name: &str) -> Exception {
    let arn = alias_arn(&caller.account, &caller.region, name);
    ExceptionKind::NotFound.with_message(format!("Alias {arn} is not found."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListAliasesRequest {
    key_id: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListAliases.
pub(in crate::simulator) fn list(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ListAliasesRequest = wire::parse(body)?;
    let (account, region) = (&call.caller.account, &call.caller.region);
    kms.read(|state| {
        let key = request
            .key_id
            .as_deref()
            .map(|id| find(state, &call.caller, id, AcceptedIds::Keys))
            .transpose()?;
        let region_state = state.region_state(account, region);
        let aliases = region_state
            .into_iter()
            .flat_map(|region_state| &region_state.aliases);
        let selected =
            aliases.filter(|(_, alias)| key.is_none_or(|found| found.key.id == alias.key));
        let items = selected
            .map(|(name, alias)| (name.as_str(), alias_entry(account, region, name, alias)));
        request.paging.page("Aliases", items, 50, 100)
    })
}

fn alias_entry(account: &str, region: &str, name: &str, alias: &Alias) -> Value {
    json!({
        "AliasName": name,
        "AliasArn": alias_arn(account, region, name),
        "TargetKeyId": alias.key,
        "CreationDate": alias.created,
        "LastUpdatedDate": alias.updated,
    })
}
