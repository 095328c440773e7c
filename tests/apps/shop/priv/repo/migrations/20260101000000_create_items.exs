defmodule Shop.Repo.Migrations.CreateItems do
  use Ecto.Migration

  def change do
    execute "create table items (id bigserial primary key, name text not null)"
  end
end
