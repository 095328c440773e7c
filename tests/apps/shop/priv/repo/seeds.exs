# Run by `mix ecto.setup`, after the migrations.
{:ok, _result, _apps} =
  Ecto.Migrator.with_repo(Shop.Repo, & &1.query!("insert into items (name) values ('seed')"))
