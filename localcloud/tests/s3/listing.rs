use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::EncodingType;

use super::rig::{Rig, code};

async fn names(call: ListObjectsV2FluentBuilder) -> (Vec<String>, Vec<String>) {
    let answer = call.send().await.unwrap();
    let keys = answer
        .contents()
        .iter()
        .map(|object| object.key().unwrap().to_owned());
    let prefixes = answer
        .common_prefixes()
        .iter()
        .map(|prefix| prefix.prefix().unwrap().to_owned());
    (keys.collect(), prefixes.collect())
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn prefixes_and_delimiters() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let keys = [
        "a",
        "b/1",
        "b/2",
        "b/c/3",
        "b0",
        "c/",
        "c/4",
        "\u{e4}/5",
        "\u{fffd}x",
        "\u{10ffff}/6",
    ];
    for key in keys {
        rig.put(&b, key, "v").await;
    }
    let list = || rig.client.list_objects_v2().bucket(&b);
    assert_eq!(names(list()).await.0, keys);
    assert_eq!(
        names(list().delimiter("/")).await,
        (
            texts(&["a", "b0", "\u{fffd}x"]),
            texts(&["b/", "c/", "\u{e4}/", "\u{10ffff}/"])
        )
    );
    assert_eq!(
        names(list().delimiter("/").prefix("b/")).await,
        (texts(&["b/1", "b/2"]), texts(&["b/c/"]))
    );
    assert_eq!(
        names(list().prefix("b")).await.0,
        ["b/1", "b/2", "b/c/3", "b0"]
    );
    assert_eq!(names(list().prefix("z")).await, (vec![], vec![]));
    assert_eq!(
        names(list().start_after("b/2").max_keys(2)).await.0,
        ["b/c/3", "b0"]
    );
    assert_eq!(names(list().max_keys(0)).await, (vec![], vec![]));
    let encoded = names(list().encoding_type(EncodingType::Url).prefix("\u{e4}")).await;
    assert_eq!(encoded.0, ["%C3%A4/5"]);
    let answer = list().delimiter("/").send().await.unwrap();
    assert_eq!(answer.key_count(), Some(7));
    assert_eq!(answer.is_truncated(), Some(false));
    let object = list().fetch_owner(true).max_keys(1).send().await.unwrap();
    let object = &object.contents()[0];
    assert_eq!(object.size(), Some(1));
    assert!(
        object.owner().is_some() && object.e_tag().is_some() && object.last_modified().is_some()
    );
    let error = list().continuation_token("!").send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidArgument");
}

#[tokio::test]
async fn pages_join_without_gap_or_double() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let mut keys = Vec::new();
    for n in 0..40 {
        let key = format!("{}/{n:02}", n % 7);
        rig.put(&b, &key, "v").await;
        keys.push(key);
    }
    rig.put(&b, "top", "v").await;
    keys.push("top".to_owned());
    keys.sort();
    for size in [1, 3, 7, 50] {
        for (delimiter, wanted) in [
            (None, keys.clone()),
            (
                Some("/".to_owned()),
                texts(&["0/", "1/", "2/", "3/", "4/", "5/", "6/", "top"]),
            ),
        ] {
            let mut pages = rig
                .client
                .list_objects_v2()
                .bucket(&b)
                .set_delimiter(delimiter)
                .into_paginator()
                .page_size(size)
                .send();
            let mut seen = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.unwrap();
                let prefixes = page
                    .common_prefixes()
                    .iter()
                    .map(|p| p.prefix().unwrap().to_owned());
                seen.extend(prefixes);
                seen.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
                assert!(page.key_count().unwrap() <= size);
            }
            assert_eq!(seen, wanted, "pages of {size}");
        }
    }
}
