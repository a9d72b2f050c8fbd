//! Subcommands that work on a network without a run: those of the library, and those of a configuration.

use super::*;

/// A network whose data is nowhere.
const TINY: &str = r#"data = "idx:nowhere"
model = "tiny"
batch = 6
optimizer = "adam"
network = [
    { conv2d = { outputs = 3, kernel = 5 } },
    "relu",
    { name = "scores", linear = { outputs = "classes" } },
]
"#;

#[test]
fn networks_of_a_configuration_are_summarised_timed_and_profiled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), TINY).unwrap();
    let tiny = ["--config", "tiny.toml", "--input", "2,12,11", "--classes", "4"];
    // 3 x 2 x 5 x 5 + 3, and 3 x 8 x 7 x 4 + 4.
    let stdout = succeed(path, &[&["summary"][..], &tiny].concat());
    assert!(stdout.contains("tiny: 829 parameters"), "{stdout}");

    let cpu = ["--device", "cpu", "--quick"];
    let bench = ["--json", "--filter", "scores"];
    let stdout = succeed(path, &[&["bench"][..], &tiny, &cpu, &bench].concat());
    let rows: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(
        rows.len() > 3 && rows.iter().all(|row| row["layer"].to_string().contains("scores")),
        "{stdout}"
    );
    // The configuration's batch and optimizer.
    assert!(rows.iter().any(|row| row["inputs"].to_string().contains("6")), "{stdout}");
    assert!(rows.iter().any(|row| row["op"].as_str().unwrap().contains("adam")), "{stdout}");

    let profile = ["--steps", "1", "--json", "-"];
    let stdout = succeed(path, &[&["profile"][..], &tiny, &cpu, &profile].concat());
    let value: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&value["model"], &value["batch"]), (&"tiny".into(), &6.into()));

    for command in ["summary", "bench", "profile", "tune"] {
        // Nothing says how large its images are.
        fail(path, &[command, "--config", "tiny.toml"], &["nowhere"]);
        fail(path, &[command, "--config", "none"], &["none", "lenet-mnist"]);
    }
    for command in ["bench", "profile", "tune"] {
        let both = [command, "--config", "lenet-mnist", "--model", "lenet"];
        fail(path, &both, &["--config", "--model"]);
    }
    let picks = ["tune", "--import", "none.json", "--export", "picks.json"];
    fail(path, &picks, &["none.json"]);
}
