//! Records every hook of `upgrade`.

recording::record! {
    before_mix_deps_get
    after_mix_deps_get
    before_mix_compile
    after_mix_compile
    before_mix_digest
    after_mix_digest
    before_mix_release
    after_mix_release
    before_make_upgrade_dir
    after_make_upgrade_dir
    before_copy_release_to_upgrade
    after_copy_release_to_upgrade
    before_upgrade_service
    after_upgrade_service
    before_configure_nginx
    after_configure_nginx
}
