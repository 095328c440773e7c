//! A new release is watched: what visitors get counts too, if the app says it.

use super::*;

/// What Phoenix apps have: events, and who wants to know of them.
const TELEMETRY: &str = r#"defmodule :telemetry do
  def attach(id, event, function, config), do: :persistent_term.put(:handler, {id, event, function, config})
  def detach(_), do: :persistent_term.erase(:handler)

  def execute(event, measurements, metadata) do
    case :persistent_term.get(:handler, nil) do
      {_, ^event, function, config} -> function.(event, measurements, metadata, config)
      _ -> :ok
    end
  end
end
"#;

#[test]
fn a_version_whose_visitors_get_errors_is_replaced_by_the_old_one() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "4s");
    sandbox.let_nodes_connect("hello").unwrap();
    hello.write("lib/telemetry.ex", TELEMETRY).unwrap();
    let tell = "metadata = %{conn: %{status: status}}\n    :telemetry.execute([:phoenix, :endpoint, :stop], %{}, metadata)\n    head = [";
    hello.replace("lib/hello/connection.ex", "head = [", tell).unwrap();
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 2)]);
    let output = push(&hello, "0.2.0");
    assert!(output.says("answers, 0 of them errors") && output.says("hello 0.2.0 is serving"), "{output:?}");
    check(&load.stop(), &["0.1.0", "0.2.0"]);

    // Only the front page fails, and Gatling visits /health.
    let front = "{200, \"hello #{Hello.version()}\\n\"}";
    hello.replace("lib/hello/router.ex", front, &front.replace("200", "500")).unwrap();
    hello.replace("lib/hello/connection.ex", "%{200", "%{500 => \"Oh no\", 200").unwrap();
    let load = Load::start(sandbox.nginx_port(), &[(Kind::New, 2)]);
    let output = push(&hello, "0.3.0");
    drop(load.stop());
    assert!(output.says("visitors of 0.3.0 got errors: ") && output.says(" answers. See "), "{output:?}");
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    wait_until_alone(&sandbox, "0.2.0");

    // Who accepts all errors.
    hello.replace("gatling.toml", "[health]", "[health]\nsoak_errors = 100").unwrap();
    let load = Load::start(sandbox.nginx_port(), &[(Kind::New, 2)]);
    let output = push(&hello, "0.4.0");
    drop(load.stop());
    assert!(output.says("hello 0.4.0 is serving"), "{output:?}");
}
