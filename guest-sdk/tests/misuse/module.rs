#[gatling_hooks::hooks]
mod empty {} //~ there is no hook in this module

#[gatling_hooks::hooks]
mod private { //~ there is no hook in this module
    #[allow(dead_code)]
    fn before_mix_compile(_env: &Env) {}
}

#[gatling_hooks::hooks(upgrade)] //~ `hooks` takes no arguments
mod arguments {}

#[gatling_hooks::hooks]
pub fn before_mix_compile() {} //~ put `#[gatling_hooks::hooks]` on a module
