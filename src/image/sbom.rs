//! The software bill of materials of an image: SPDX 2.3 as JSON, made from the bake's report.
//!
//! One SPDX package is the image, and one each the Debian packages and the worker that it contains.
//! Specification: <https://spdx.github.io/spdx-spec/v2.3/>; package URLs:
//! <https://github.com/package-url/purl-spec> (type `deb`).

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::bake::TOOL;
use super::manifest::Package;
use super::report::Report;

/// What the purl specification leaves unencoded beside letters and digits.
const PURL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// The document of the image called `name`, made at `created`.
pub fn document(name: &str, created: Timestamp, report: &Report) -> Value {
    let manifest = report.manifest.digest();
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "versionInfo": manifest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "comment": format!("Amazon machine image on {}; versionInfo is the SHA-256 of its manifest.", report.base),
    })];
    let mut contained: Vec<Value> = report.manifest.packages.iter().map(debian).collect();
    contained.push(json!({
        "SPDXID": "SPDXRef-Worker",
        "name": "muck-worker",
        "versionInfo": env!("CARGO_PKG_VERSION"),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "APPLICATION",
        "licenseDeclared": "MIT OR Apache-2.0",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": report.worker }],
    }));
    let mut relationships = vec![relationship(
        "SPDXRef-DOCUMENT",
        "DESCRIBES",
        "SPDXRef-Image",
    )];
    for package in &contained {
        let id = package["SPDXID"].as_str().unwrap_or_default();
        relationships.push(relationship("SPDXRef-Image", "CONTAINS", id));
    }
    packages.extend(contained);
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        // Only has to be unique and a URI: nothing need be found there.
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{manifest}"),
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "creators": [format!("Tool: {}", TOOL.replace(' ', "-"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn debian(package: &Package) -> Value {
    let Package {
        name,
        version,
        architecture,
    } = package;
    json!({
        "SPDXID": format!("SPDXRef-Package-{}-{architecture}", id_characters(name)),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(package),
        }],
    })
}

/// E.g. `pkg:deb/debian/ffmpeg@7%3A7.1.1-1%2Bdeb13u1?arch=amd64`.
fn purl(package: &Package) -> String {
    let encode = |text: &str| utf8_percent_encode(text, PURL).to_string();
    format!(
        "pkg:deb/debian/{}@{}?arch={}",
        encode(&package.name),
        encode(&package.version),
        encode(&package.architecture)
    )
}

/// SPDX ids have letters, digits, `.` and `-`; Debian's names also `+`, which becomes `.2B`: no name ends
/// that way by itself, so no two become one.
fn id_characters(name: &str) -> String {
    name.replace('+', ".2B")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sample() -> Value {
        let report = Report::parse(
            "Muck-Report: 1\nStatus: ok\nExit: 0\nBase: 136693071363/debian-13\nWorker: abcd\n\
             [packages]\n ffmpeg 7:7.1.1-1+deb13u1 amd64\n libstdc++6 14.2.0-19 amd64\n tzdata 2026a-1 all\n",
        )
        .expect("reads");
        let created = "2026-01-02T03:04:05.6Z".parse().expect("time");
        document("muck-demo-0123-20260102T030405Z", created, &report)
    }

    #[test]
    fn each_package_has_its_url() {
        let document = sample();
        let urls: Vec<&str> = document["packages"]
            .as_array()
            .expect("packages")
            .iter()
            .filter_map(|one| one["externalRefs"][0]["referenceLocator"].as_str())
            .collect();
        assert_eq!(
            urls,
            [
                "pkg:deb/debian/ffmpeg@7%3A7.1.1-1%2Bdeb13u1?arch=amd64",
                "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64",
                "pkg:deb/debian/tzdata@2026a-1?arch=all",
            ]
        );
    }

    /// What SPDX 2.3 (chapters 6, 7 and 11) and its JSON schema require of a document.
    #[test]
    fn the_document_has_what_spdx_requires() {
        let document = sample();
        assert_eq!(document["spdxVersion"], "SPDX-2.3");
        assert_eq!(document["dataLicense"], "CC0-1.0");
        assert_eq!(document["SPDXID"], "SPDXRef-DOCUMENT");
        assert_eq!(document["creationInfo"]["created"], "2026-01-02T03:04:05Z");
        let creator = document["creationInfo"]["creators"][0]
            .as_str()
            .expect("one");
        assert!(creator.starts_with("Tool: muck-"), "{creator}");
        let namespace = document["documentNamespace"].as_str().expect("text");
        // A URI without a fragment: nothing in it needs encoding.
        let rest = namespace.strip_prefix("https://").expect("absolute");
        assert!(
            rest.chars()
                .all(|c| c.is_ascii_alphanumeric() || "./-".contains(c)),
            "{namespace}"
        );
        let mut ids = HashSet::from(["SPDXRef-DOCUMENT".to_owned()]);
        for package in document["packages"].as_array().expect("packages") {
            let text = |key: &str| package[key].as_str().expect("text").to_owned();
            let id = text("SPDXID");
            let rest = id.strip_prefix("SPDXRef-").expect("prefix");
            assert!(
                rest.chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)),
                "{id}"
            );
            assert!(ids.insert(id.clone()), "{id} is there twice");
            assert!(!text("name").is_empty());
            assert_eq!(text("downloadLocation"), "NOASSERTION");
            assert_eq!(package["filesAnalyzed"], false);
        }
        let relationships = document["relationships"].as_array().expect("relationships");
        assert_eq!(relationships[0]["relationshipType"], "DESCRIBES");
        for one in relationships {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                assert!(ids.contains(one[end].as_str().expect("an id")), "{one}");
            }
        }
        assert_eq!(relationships.len(), ids.len() - 1, "each is related");
    }
}
