//! Records every hook of `rollback`.

recording::record! {
    before_copy_release_to_rollback
    after_copy_release_to_rollback
    before_rollback_service
    after_rollback_service
    before_undo_migrations
    after_undo_migrations
}
