;; Hooks that import nothing but the types of the contract 1.0.0: the one is content, and the other
;; returns an error.
(module
  (memory (export "memory") 16)
  (global $next (mut i32) (i32.const 4096))

  (data (i32.const 16) "\01\00\00\00" "\20\00\00\00" "\15\00\00\00")
  (data (i32.const 32) "said with types alone")

  ;; Where the result lies: zeros are `ok`.
  (func (export "before-mix-deps-get") (param i32) (result i32) (i32.const 0))
  (func (export "before-mix-compile") (param i32) (result i32) (i32.const 16))

  ;; Room for the env, which is never given back.
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $place i32)
    (local.set $place
      (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $place) (local.get $size)))
    (local.get $place)))
