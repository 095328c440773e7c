//! Records every hook of `unload`.

recording::record! {
    before_stop_service
    after_stop_service
    before_remove_init_script
    after_remove_init_script
    before_unconfigure_nginx
    after_unconfigure_nginx
    before_remove_deploy_dir
    after_remove_deploy_dir
    before_remove_build_dir
    after_remove_build_dir
}
