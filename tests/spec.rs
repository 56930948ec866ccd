//! x
#[test]
fn delivery() {
    let bytes = std::fs::read("pipelines/delivery.yaml").unwrap();
    match orch::spec::load(&bytes) {
        Ok(p) => println!("{p:#?}"),
        Err(problems) => panic!(
            "{}",
            orch::spec::problem::render(&String::from_utf8_lossy(&bytes), "pipelines/delivery.yaml", &problems, false)
        ),
    }
}
