//! Actions on instance profiles.

use super::roles::{page_of_tags, write_role};
use super::{Iam, Page, date, validation, write_tags};
use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::ApiResult;
use crate::query_protocol::{Params, XmlBody};
use crate::state::iam::{self as state, InstanceProfile, TagOwner};

/// Longest names (IAM quotas).
const PROFILE_NAME: usize = 128;
const ROLE_NAME: usize = 64;

fn write_profile(xml: &mut XmlBody, profile: &InstanceProfile) {
    xml.text("Path", &profile.path)
        .text("InstanceProfileName", &profile.name)
        .text("InstanceProfileId", &profile.id)
        .text("Arn", profile.arn())
        .text("CreateDate", date(profile.created))
        .list("Roles", "member", &profile.role, write_role);
}

fn whole_profile(profile: &InstanceProfile, tags: &[(String, String)]) -> XmlBody {
    let mut body = XmlBody::new();
    body.element("InstanceProfile", |xml| {
        write_profile(xml, profile);
        if !tags.is_empty() {
            write_tags(xml, tags);
        }
    });
    body
}

fn arn_with_path(path: &str, name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:instance-profile{path}{name}")
}

impl Iam {
    fn allow_on_profile(&self, caller: &Caller, action: &str, profile: &str) -> ApiResult<()> {
        let arn = self
            .store
            .transaction(|db| state::find_profile(db, profile))
            .map_or_else(|_| arn_with_path("/", profile), |profile| profile.arn());
        self.allow(caller, action, &arn)
    }

    pub(super) fn create_profile(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let path = validation::path(params)?;
        let tags = params.tags("Tags")?;
        params.finish()?;
        self.allow_making(
            caller,
            ["CreateInstanceProfile", "TagInstanceProfile"],
            &arn_with_path(&path, &name),
            &tags,
        )?;
        let (profile, tags) = self.store.transaction(|db| {
            let profile = state::create_profile(db, &name, &path, self.clock.now())?;
            let owner = TagOwner::Profile(name.clone());
            state::tag(db, &owner, &tags)?;
            Ok((profile, state::tags(db, &owner)?))
        })?;
        Ok(whole_profile(&profile, &tags))
    }

    pub(super) fn get_profile(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        params.finish()?;
        self.allow_on_profile(caller, "GetInstanceProfile", &name)?;
        let (profile, tags) = self.store.transaction(|db| {
            Ok((
                state::find_profile(db, &name)?,
                state::tags(db, &TagOwner::Profile(name.clone()))?,
            ))
        })?;
        Ok(whole_profile(&profile, &tags))
    }

    pub(super) fn list_profiles(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let prefix = validation::path_prefix(params)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow(caller, "ListInstanceProfiles", &arn_with_path(&prefix, ""))?;
        let profiles = self
            .store
            .transaction(|db| state::list_profiles(db, &prefix, &page.after, page.size + 1))?;
        Ok(page_of_profiles(&page, profiles))
    }

    pub(super) fn list_profiles_for_role(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow_on_role(caller, "ListInstanceProfilesForRole", &role)?;
        let profiles = self
            .store
            .transaction(|db| state::profiles_of_role(db, &role))?;
        let profiles = page.cut(profiles, |profile| &profile.name);
        Ok(page_of_profiles(&page, profiles))
    }

    pub(super) fn add_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let profile = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        params.finish()?;
        self.allow_on_profile(caller, "AddRoleToInstanceProfile", &profile)?;
        // Whoever puts a role into a profile passes it on, and needs that right too.
        self.allow_passing(caller, &role)?;
        self.store
            .transaction(|db| state::add_role_to_profile(db, &profile, &role))?;
        Ok(XmlBody::new())
    }

    pub(super) fn remove_role(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let profile = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let role = validation::name(params, "RoleName", ROLE_NAME)?;
        params.finish()?;
        self.allow_on_profile(caller, "RemoveRoleFromInstanceProfile", &profile)?;
        self.store
            .transaction(|db| state::remove_role_from_profile(db, &profile, &role))?;
        Ok(XmlBody::new())
    }

    pub(super) fn delete_profile(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        params.finish()?;
        self.allow_on_profile(caller, "DeleteInstanceProfile", &name)?;
        self.store
            .transaction(|db| state::delete_profile(db, &name))?;
        Ok(XmlBody::new())
    }

    pub(super) fn tag_profile(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let tags = params.tags("Tags")?;
        params.finish()?;
        self.allow_on_profile(caller, "TagInstanceProfile", &name)?;
        self.store.transaction(|db| {
            state::find_profile(db, &name)?;
            state::tag(db, &TagOwner::Profile(name.clone()), &tags)
        })?;
        Ok(XmlBody::new())
    }

    pub(super) fn untag_profile(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let keys = params.list("TagKeys");
        params.finish()?;
        self.allow_on_profile(caller, "UntagInstanceProfile", &name)?;
        self.store.transaction(|db| {
            state::find_profile(db, &name)?;
            state::untag(db, &TagOwner::Profile(name.clone()), &keys)
        })?;
        Ok(XmlBody::new())
    }

    pub(super) fn list_profile_tags(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = validation::name(params, "InstanceProfileName", PROFILE_NAME)?;
        let page = Page::read(params)?;
        params.finish()?;
        self.allow_on_profile(caller, "ListInstanceProfileTags", &name)?;
        let tags = self.store.transaction(|db| {
            state::find_profile(db, &name)?;
            state::tags(db, &TagOwner::Profile(name.clone()))
        })?;
        Ok(page_of_tags(&page, tags))
    }
}

fn page_of_profiles(page: &Page, profiles: Vec<InstanceProfile>) -> XmlBody {
    let mut xml = XmlBody::new();
    let profiles = page.close(&mut xml, profiles, |profile| &profile.name);
    xml.list("InstanceProfiles", "member", &profiles, write_profile);
    xml
}
