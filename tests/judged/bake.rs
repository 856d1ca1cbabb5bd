//! Images: baked once, found again, listed, shown, pruned, and gone with the stack.

use serde_json::{Value, json};

use crate::harness::account::Account;
use crate::harness::judge::{Judge, judged};

judged!(an_image_is_baked_found_listed_and_pruned by local_cloud, moto);

fn an_image_is_baked_found_listed_and_pruned(judge: &dyn Judge) {
    let (machine, account) = (judge.machine(), judge.account());
    machine.muck(&["up"]).exits(0);
    let bake = |options: &[&str]| {
        judge
            .bake(&machine, &[&["--json"], options].concat())
            .exits(0)
            .json()
    };
    let kinds = || -> Vec<String> {
        let all = account.left_overs();
        let kinds = all.iter().filter_map(|line| line.split(' ').next());
        kinds
            .filter(|kind| ["image", "snapshot", "instance", "volume"].contains(kind))
            .map(str::to_owned)
            .collect()
    };
    let first = bake(&[]);
    assert_eq!(first["reused"], false, "{first}");
    let found = bake(&[]);
    assert_eq!(
        (&found["reused"], &found["image_id"]),
        (&json!(true), &first["image_id"])
    );
    let second = bake(&["--force"]);
    assert_ne!(second["image_id"], first["image_id"]);
    assert_eq!(
        kinds().iter().filter(|kind| *kind == "image").count(),
        2,
        "{:?}",
        account.left_overs()
    );

    let list = machine.muck(&["images", "ls", "--json"]).exits(0).json();
    let ids: Vec<&Value> = list
        .as_array()
        .expect("images")
        .iter()
        .map(|one| &one["id"])
        .collect();
    // Baked within one second, either may be first.
    assert!(
        ids.len() == 2 && ids.contains(&&first["image_id"]) && ids.contains(&&second["image_id"]),
        "{list}"
    );
    let shown = machine
        .muck(&["images", "show", first["image_id"].as_str().expect("an id")])
        .exits(0);
    assert!(
        shown
            .stdout
            .contains(first["recipe"].as_str().expect("a digest")),
        "{shown:?}"
    );

    if let Some(region) = judge.another_region() {
        let image = first["image_id"].as_str().expect("an id");
        let copy = ["images", "copy", image, "--to", region, "--json"];
        let copied = machine.muck(&copy).exits(0).json();
        assert_eq!(copied["reused"], false, "{copied}");
        let mut there = judge.access().clone();
        region.clone_into(&mut there.region);
        let made = format!("image {}", copied["image_id"].as_str().expect("an id"));
        let images = Account::over(&there).left_overs();
        assert!(images.contains(&made), "{images:?}");
    }

    let pruned = machine
        .muck(&["images", "prune", "--keep", "1", "--yes", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        pruned["doomed"].as_array().map(Vec::len),
        Some(1),
        "{pruned}"
    );
    assert_eq!(
        kinds().iter().filter(|kind| *kind == "image").count(),
        1,
        "{:?}",
        account.left_overs()
    );
    if judge.keeps_what_images_are_registered_with() {
        // An image that does not stand on the snapshot that was registered takes another with it.
        assert_eq!(kinds().len(), 2, "{:?}", account.left_overs());
    }

    machine
        .muck(&["down", "--yes"])
        .exits(0)
        .says(&["nothing is left of stack muck"]);
    assert_eq!(account.left_overs(), Vec::<String>::new());
}
