//! Actions on roles.

use super::{Iam, Page, date, encoded, validation, write_tags};
use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::ApiResult;
use crate::query_protocol::{Params, XmlBody};
use crate::state::iam::{self as state, Role, TagOwner};

/// Longest names (IAM quotas).
const ROLE_NAME: usize = 64;
const POLICY_NAME: usize = 128;

/// A session lasts at least 1 h, at most 12 h, and 1 h where nothing is said.
const SESSION_SECONDS: std::ops::RangeInclusive<i64> = 3600..=43200;

/// A role without its tags, as in lists.
pub(super) fn write_role(xml: &mut XmlBody, role: &Role) {
    xml.text("Path", &role.path)
        .text("RoleName", &role.name)
        .text("RoleId", &role.id)
        .text("Arn", role.arn())
        .text("CreateDate", date(role.created))
        .text("AssumeRolePolicyDocument", encoded(&role.trust_policy))
        .optional("Description", role.description.as_deref())
        .text("MaxSessionDuration", role.max_session_seconds);
}

fn arn_with_path(path: &str, name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role{path}{name}")
}

impl Iam {
    /// Checks the caller's right on a role that may not exist (then one without a path is meant).
    pub(super) fn allow_on_role(&self, caller: &Caller, action: &str, role: &str) -> ApiResult<()> {
        self.allow(caller, action, &self.role_arn(role))
    }

    fn role_arn(&self, role: &str) -> String {
        self.store
            .transaction(|db| state::find_role(db, role))
            .map_or_else(|_| arn_with_path("/", role), |role| role.arn())
    }

    /// Checks the caller's right to hand a role to EC2.
    pub(super) fn allow_passing(&self, caller: &Caller, role: &str) -> ApiResult<()> {
        let mut context = self.context();
        context.set("iam:PassedToService", "ec2.amazonaws.com");
        self.allow_with(caller, "PassRole", &self.role_arn(role), &context)
    }

    pub(super) fn create_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "RoleName", ROLE_NAME)?;
        let path = validation::path(params)?;
        let trust = params.required("AssumeRolePolicyDocument")?;
        let description = params.optional("Description");
        let session = params.number("MaxSessionDuration")?.unwrap_or(3600);
        let tags = params.tags("Tags")?;
        params.finish()?;
        if !SESSION_SECONDS.contains(&session) {
            return Err(validation::invalid(
                "maxSessionDuration",
                &session.to_string(),
                "Member must have value between 3600 and 43200",
            ));
        }
        self.allow_making(
            caller,
            ["CreateRole", "TagRole"],
            &arn_with_path(&path, &name),
            &tags,
        )?;
        let (role, tags) = self.store.transaction(|db| {
            let role = state::create_role(
                db,
                &name,
                &path,
                &trust,
                description.as_deref(),
                session,
                self.clock.now(),
            )?;
            let owner = TagOwner::Role(name.clone());
            state::tag(db, &owner, &tags)?;
            Ok((role, state::tags(db, &owner)?))
        })?;
        Ok(whole_role(&role, &tags))
    }

    pub(super) fn get_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "RoleName", ROLE_NAME)?;
        params.finish()?;
        self.allow_on_role(caller, "GetRole", &name)?;
        let (role, tags) = self.store.transaction(|db| {
            Ok((
                state::find_role(db, &name)?,
                state::tags(db, &TagOwner::Role(name.clone()))?,
            ))
        })?;
        Ok(whole_role(&role, &tags))
    }

    pub(super) fn update_trust(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "RoleName", ROLE_NAME)?;
        let document = params.required("PolicyDocument")?;
        params.finish()?;
        self.allow_on_role(caller, "UpdateAssumeRolePolicy", &name)?;
        self.store
            .transaction(|db| state::set_trust_policy(db, &name, &document))?;
        Ok(XmlBody::new())
    }

    pub(super) fn delete_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "RoleName", ROLE_NAME)?;
        params.finish()?;
        self.allow_on_role(caller, "DeleteRole", &name)?;
        self.store.transaction(|db| state::delete_role(db, &name))?;
        Ok(XmlBody::new())
    }

    pub(super) fn list_roles(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let prefix = validation::path_prefix(params)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow(caller, "ListRoles", &arn_with_path(&prefix, ""))?;
        let roles = self
            .store
            .transaction(|db| state::list_roles(db, &prefix, &page.after, page.size + 1))?;
        let mut xml = XmlBody::new();
        let roles = page.close(&mut xml, roles, |role| &role.name);
        xml.list("Roles", "member", &roles, write_role);
        Ok(xml)
    }

    pub(super) fn put_role_policy(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let policy = validation::name(params, "PolicyName", POLICY_NAME)?;
        let document = params.required("PolicyDocument")?;
        params.finish()?;
        self.allow_on_role(caller, "PutRolePolicy", &role)?;
        self.store
            .transaction(|db| state::put_role_policy(db, &role, &policy, &document))?;
        Ok(XmlBody::new())
    }

    pub(super) fn get_role_policy(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let policy = validation::name(params, "PolicyName", POLICY_NAME)?;
        params.finish()?;
        self.allow_on_role(caller, "GetRolePolicy", &role)?;
        let document = self
            .store
            .transaction(|db| state::role_policy(db, &role, &policy))?;
        let mut xml = XmlBody::new();
        xml.text("RoleName", role)
            .text("PolicyName", policy)
            .text("PolicyDocument", encoded(&document));
        Ok(xml)
    }

    pub(super) fn list_role_policies(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow_on_role(caller, "ListRolePolicies", &role)?;
        let names = self
            .store
            .transaction(|db| state::list_role_policies(db, &role))?;
        let mut xml = XmlBody::new();
        let names = page.close(&mut xml, page.cut(names, |name| name), |name| name);
        xml.texts("PolicyNames", "member", names);
        Ok(xml)
    }

    pub(super) fn delete_role_policy(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let policy = validation::name(params, "PolicyName", POLICY_NAME)?;
        params.finish()?;
        self.allow_on_role(caller, "DeleteRolePolicy", &role)?;
        self.store
            .transaction(|db| state::delete_role_policy(db, &role, &policy))?;
        Ok(XmlBody::new())
    }

    /// There are no managed policies here, so none is ever attached.
    pub(super) fn list_attached_role_policies(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let _all_of_none = (validation::path_prefix(params)?, Page::read(params)?);
        params.finish()?;
        self.allow_on_role(caller, "ListAttachedRolePolicies", &role)?;
        self.store.transaction(|db| state::find_role(db, &role))?;
        let mut xml = XmlBody::new();
        xml.text("IsTruncated", false)
            .texts::<&str>("AttachedPolicies", "member", []);
        Ok(xml)
    }

    pub(super) fn tag_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let tags = params.tags("Tags")?;
        params.finish()?;
        self.allow_on_role(caller, "TagRole", &role)?;
        self.store.transaction(|db| {
            state::find_role(db, &role)?;
            state::tag(db, &TagOwner::Role(role.clone()), &tags)
        })?;
        Ok(XmlBody::new())
    }

    pub(super) fn untag_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let keys = params.list("TagKeys");
        params.finish()?;
        self.allow_on_role(caller, "UntagRole", &role)?;
        self.store.transaction(|db| {
            state::find_role(db, &role)?;
            state::untag(db, &TagOwner::Role(role.clone()), &keys)
        })?;
        Ok(XmlBody::new())
    }

    pub(super) fn list_role_tags(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow_on_role(caller, "ListRoleTags", &role)?;
        let tags = self.store.transaction(|db| {
            state::find_role(db, &role)?;
            state::tags(db, &TagOwner::Role(role.clone()))
        })?;
        Ok(page_of_tags(&page, tags))
    }
}

/// At most 50 tags fit on a thing, so pages are only cut where the caller asks for small ones.
pub(super) fn page_of_tags(page: &Page, tags: Vec<(String, String)>) -> XmlBody {
    let mut xml = XmlBody::new();
    let tags = page.cut(tags, |(key, _)| key);
    let tags = page.close(&mut xml, tags, |(key, _)| key);
    write_tags(&mut xml, &tags);
    xml
}

fn whole_role(role: &Role, tags: &[(String, String)]) -> XmlBody {
    let mut body = XmlBody::new();
    body.element("Role", |xml| {
        write_role(xml, role);
        if !tags.is_empty() {
            write_tags(xml, tags);
        }
    });
    body
}
