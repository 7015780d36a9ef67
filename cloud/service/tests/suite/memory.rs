//! Memory that comes back.

use std::path::Path;
use std::process::Command;

use crate::large::large;
use crate::models::{answers_briefly, tell};
use crate::running::Running;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    pages * 4096
}

#[test]
fn the_memory_of_a_model_that_was_unloaded_is_given_back() {
    // Other tests' models would be in the sum.
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::alone", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// 20 copies of its weights would be 400 MB.
#[tokio::test]
#[ignore = "the test above runs it, in a process of its own"]
async fn alone() {
    let a = large("a");
    let server = Running::start(&[&a]).await.unwrap();
    let weights = bytes_of_file(&a.path().join("model.safetensors"));
    let mut after_three = 0;
    for round in 0..20 {
        tell(&server, "a", "unload").await;
        tell(&server, "a", "load").await;
        answers_briefly(&server, "a").await;
        if round == 2 {
            after_three = resident();
        }
    }
    let grown = resident().saturating_sub(after_three);
    assert!(grown < 5 * weights, "{grown} of {weights} for each load");
    server.stop().await;
}

fn bytes_of_file(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}
