//! The power fails at every point of an upgrade, on a file system that loses what was not synced. `GATLING_FAULTS=all` tries
//! every point, otherwise every second one: what is written between two points is lost at the next one too.

use gatling_faultfs::{Durability, FaultFs};

use super::*;

#[test]
fn an_upgrade_survives_a_power_failure_that_loses_what_was_not_synced() {
    if !FaultFs::is_available() {
        println!("SKIPPED: no file system can be mounted here: that takes root and /dev/fuse");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultFs::mount_with(folder.path(), Durability::Ordered).unwrap();
    let mut stage = Stage::below(folder.path()).unwrap();
    stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    stage.next_version().unwrap();
    let points = points(&stage, "push").unwrap();

    let mut boots = 0;
    let mut attempt = |number| {
        let old = stage.served().unwrap_or_default();
        let new = stage.next_version()?;
        // The end of the run before has synced the file system, which this one does not notice.
        disk.sync();
        if stage.stop_at("push", number)? {
            disk.crash();
            boots += 1;
            stage.sandbox.add_variables([("GATLING_BOOT".into(), boots.to_string().into())]);
            stage.boot()?;
        }
        stage.wait_for(&[&old, &new]).context("after the boot")?;
        check_status(&stage).context("the status")?;
        check_next_push(&mut stage)
    };
    let step = if env::var("GATLING_FAULTS").is_ok_and(|faults| faults == "all") { 1 } else { 2 };
    let mut failures = Vec::new();
    for (number, name) in points.iter().enumerate().step_by(step) {
        if let Err(error) = attempt(number) {
            failures.push(format!("at {number} ({name}): {error:#}"));
        }
    }

    report("upgrade with lost writes", &points, &failures);
    drop(stage);
}
