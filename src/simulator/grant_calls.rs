//! CreateGrant, ListGrants, ListRetirableGrants, RevokeGrant, RetireGrant.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::authorize::authorize;
use super::caller::{Call, Caller};
use super::context::Context;
use super::credentials::account_of;
use super::exception::{Exception, Kind, rehearsed};
use super::grant_parties::{Parties, party};
use super::grants::{Constraints, Grant, OPERATIONS, is_arn};
use super::keys::{Found, Names, Where, find, key_mut, locate, locate_with};
use super::pages::Paging;
use super::partition::root_arn;
use super::policy::{Details, Reach, Request, Verdict, reach};
use super::random;
use super::state::{State, now};
use super::wire::{self, base64, check, check_text, need};
use super::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
    operations: Option<Vec<String>>,
    constraints: Option<Constraints>,
    name: Option<String>,
    dry_run: Option<bool>,
}

/// CreateGrant.
pub(super) async fn create(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Create = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let grant = request.grant(&call.caller)?;
    world
        .change(|state| {
            let details = Details {
                grant: Some(grant.facts()),
                ..Details::default()
            };
            let at = locate_with(state, &call.caller, id, "CreateGrant", details)?;
            find(state, &call.caller, id, Names::Keys)?.check_not_pending()?;
            rehearsed(request.dry_run)?;
            let key = key_mut(state, &at)?;
            // A named grant that is there already is not made twice.
            let same = key.grants.values().find(|other| other.is_same(&grant));
            let grant = same.cloned().unwrap_or(grant);
            key.grants.insert(grant.id.clone(), grant.clone());
            Ok(json!({ "GrantId": grant.id, "GrantToken": grant.token }))
        })
        .await
}

impl Create {
    fn grant(&self, caller: &Caller) -> Result<Grant, Exception> {
        let (grantee, retiring) = Parties {
            grantee: [&self.grantee_principal, &self.grantee_service_principal],
            retiring: [&self.retiring_principal, &self.retiring_service_principal],
            constraints: self.constraints.as_ref(),
        }
        .checked()?;
        if let Some(name) = &self.name {
            let is_legal =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-');
            check_text(name, 1..=256, is_legal, "name")?;
        }
        let operations = need(&self.operations, "operations")?;
        let known = operations
            .iter()
            .all(|operation| OPERATIONS.contains(&operation.as_str()));
        check(
            !operations.is_empty() && known,
            "operations",
            &format!("Member must satisfy enum value set: {OPERATIONS:?}"),
        )?;
        Ok(Grant {
            id: crate::hex::encode(&random::bytes::<32>()?),
            token: base64(&random::bytes::<96>()?),
            name: self.name.clone(),
            created: now(),
            grantee,
            retiring,
            issuer: root_arn(&caller.region, &caller.account),
            operations: operations.clone(),
            constraints: self.constraints.clone(),
        })
    }
}

impl Grant {
    fn is_same(&self, other: &Self) -> bool {
        self.name.is_some()
            && (
                &self.name,
                &self.grantee,
                &self.retiring,
                &self.operations,
                &self.constraints,
            ) == (
                &other.name,
                &other.grantee,
                &other.retiring,
                &other.operations,
                &other.constraints,
            )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    key_id: Option<String>,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListGrants.
pub(super) fn list(world: &World, call: &Call, body: &[u8]) -> Result<Value, Exception> {
    let request: List = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let grantee = [
        &request.grantee_principal,
        &request.grantee_service_principal,
    ];
    let grantee = party(grantee, "grantee")?;
    world.read(|state| {
        let found = find(state, &call.caller, id, Names::Keys)?;
        authorize(&found, &call.caller, "ListGrants", &Context::default())?;
        let (wanted, grantee) = (request.grant_id.as_deref(), grantee.as_deref());
        if wanted.is_some_and(|wanted| !found.key.grants.contains_key(wanted)) {
            return Err(no_grant());
        }
        let arn = found.arn();
        let grants = found.key.grants.values();
        let meant = grants.filter(|grant| {
            wanted.is_none_or(|id| id == grant.id)
                && grantee.is_none_or(|grantee| grantee == grant.grantee)
        });
        let items = meant.map(|grant| (grant.id.as_str(), grant.described(&arn)));
        request.paging.page("Grants", items, 50, 100)
    })
}

/// ListRetirableGrants: of a principal of the caller's account, also on keys of other accounts.
pub(super) fn list_retirable(world: &World, call: &Call, body: &[u8]) -> Result<Value, Exception> {
    let request: List = wire::parse(body)?;
    let principal = [
        &request.retiring_principal,
        &request.retiring_service_principal,
    ];
    let principal = party(principal, "retiring")?;
    let principal = principal.ok_or_else(|| {
        Kind::Validation
            .because("Either RetiringPrincipal or RetiringServicePrincipal must be specified.")
    })?;
    // A service's grants are listed to the service only.
    let is_own = match is_arn(&principal) {
        true => account_of(&principal) == Some(call.caller.account.as_str()),
        false => call.caller.principal == principal,
    };
    world.read(|state| {
        let grants = grants(state, &call.caller.region);
        let is_meant = |(_, grant): &(Found<'_>, &Grant)| {
            is_own && grant.retiring.as_ref() == Some(&principal)
        };
        let mut meant: Vec<_> = grants.filter(is_meant).collect();
        meant.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let items = meant
            .iter()
            .map(|(found, grant)| (grant.id.as_str(), grant.described(&found.arn())));
        request.paging.page("Grants", items, 50, 100)
    })
}

/// Every grant in a Region, with its key.
fn grants<'a>(
    state: &'a State,
    here: &'a str,
) -> impl Iterator<Item = (Found<'a>, &'a Grant)> + use<'a> {
    let places = state
        .places()
        .filter(move |((_, region), _)| *region == here);
    let keys = places.flat_map(|((account, region), place)| {
        let keys = place.keys.values();
        keys.map(move |key| Found {
            account,
            region,
            place,
            key,
            alias: None,
        })
    });
    keys.flat_map(|found| found.key.grants.values().map(move |grant| (found, grant)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct End {
    key_id: Option<String>,
    grant_id: Option<String>,
    grant_token: Option<String>,
    dry_run: Option<bool>,
}

/// RevokeGrant.
pub(super) async fn revoke(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: End = wire::parse(body)?;
    let (id, grant) = (
        need(&request.key_id, "keyId")?,
        need(&request.grant_id, "grantId")?,
    );
    world
        .change(|state| {
            let at = locate(state, &call.caller, id, "RevokeGrant")?;
            let key = key_mut(state, &at)?;
            if !key.grants.contains_key(grant) {
                return Err(no_grant());
            }
            rehearsed(request.dry_run)?;
            key.grants.remove(grant);
            Ok(json!({}))
        })
        .await
}

/// RetireGrant: by its token, or by key and id.
pub(super) async fn retire(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: End = wire::parse(body)?;
    world
        .change(|state| {
            let (at, id) = request.retired(state, &call.caller)?;
            rehearsed(request.dry_run)?;
            key_mut(state, &at)?.grants.remove(&id);
            Ok(json!({}))
        })
        .await
}

impl End {
    /// The key and the id of the grant to be retired, if the caller may retire it.
    fn retired(&self, state: &State, caller: &Caller) -> Result<(Where, String), Exception> {
        let (found, grant) = match (&self.grant_token, &self.key_id, &self.grant_id) {
            (Some(token), ..) => by_token(state, caller, token)?,
            (None, Some(key), Some(id)) => {
                let found = find(state, caller, key, Names::Keys)?;
                (found, found.key.grants.get(id).ok_or_else(no_grant)?)
            }
            _ => {
                return Err(
                    Kind::Validation.because("Give a grant token, or a key id and a grant id.")
                );
            }
        };
        if !may_retire(&found, grant, caller) {
            let who = &caller.principal;
            return Err(Kind::AccessDenied.because(format!(
                "User: {who} may not retire this grant: neither it nor the key policy says so"
            )));
        }
        Ok((found.to_owned(), grant.id.clone()))
    }
}

/// Who may: the retiring principal, the grantee if the grant says so, and who may by the key's policy or the identity policies of the
/// account that has created the grant. A Deny of an identity policy wins.
fn may_retire(found: &Found<'_>, grant: &Grant, caller: &Caller) -> bool {
    let arn = found.arn();
    let request = Request {
        who: caller.who(),
        action: "RetireGrant",
        resource: &arn,
        key: Some(found),
        details: Details::default(),
    };
    let verdict = caller.facts.judge(&request);
    let is_for = |party: &str| match reach(party, &request.who) {
        Reach::Direct => party != "*",
        Reach::Account => verdict == Verdict::Allowed,
        Reach::No => false,
    };
    let is_grantee =
        is_for(&grant.grantee) && grant.operations.iter().any(|op| op == "RetireGrant");
    let is_party = is_grantee || grant.retiring.as_deref().is_some_and(is_for);
    let may = || authorize(found, caller, "RetireGrant", &Context::default()).is_ok();
    verdict != Verdict::Denied && (is_party || may())
}

fn by_token<'a>(
    state: &'a State,
    caller: &'a Caller,
    token: &str,
) -> Result<(Found<'a>, &'a Grant), Exception> {
    let found = grants(state, &caller.region).find(|(_, grant)| grant.token == token);
    found.ok_or_else(|| {
        Kind::InvalidGrantToken.because("The grant token is not one of this Region.")
    })
}

fn no_grant() -> Exception {
    Kind::NotFound.because("The key has no such grant.")
}
