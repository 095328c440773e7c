//! Records every hook of `deploy`.

recording::record! {
    before_mix_deps_get
    after_mix_deps_get
    before_mix_compile
    after_mix_compile
    before_mix_digest
    after_mix_digest
    before_mix_release
    after_mix_release
    before_make_deploy_dir
    after_make_deploy_dir
    before_copy_release_to_deploy
    after_copy_release_to_deploy
    before_expand_release
    after_expand_release
    before_install_init_script
    after_install_init_script
    before_mix_ecto_setup
    after_mix_ecto_setup
    before_start_service
    after_start_service
    before_configure_nginx
    after_configure_nginx
}
