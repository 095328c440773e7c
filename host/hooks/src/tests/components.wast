;; Bad components, each with a part of the expected message, and some that look odd but are good.

;; ---- The parts of the binary format.

(assert_malformed (component binary "\00asm\0d\00\01\00" "\00") "unexpected end")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\00\00") "unexpected end")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\00\03\02\ff\fe") "UTF-8")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\0c\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\7f\00") "malformed section id")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\ff\ff\ff\ff\0f\01") "unexpected end")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\ff\ff\ff\ff\ff\01") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\80\80\80\80\80\80\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\05\ff\ff\ff\ff\0f") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\01\01") "unexpected end")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\02\01\3e") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\07\03\01\73\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\0a\01\01") "unexpected end")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\01\04\00asm") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\01\08\00asm\0d\00\01\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\04\08\00asm\01\00\00\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\04\08\00asm\0d\00\02\00") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\04\09\00asm\0d\00\01\00\7f") "damaged")
;; The name of a custom section is longer than the section.
(assert_malformed (component binary "\00asm\0d\00\01\00" "\00\02\7fx" "\00\04\03abc") "unexpected end")
;; Bytes after the last section.
(assert_malformed (component binary "\00asm\0d\00\01\00" "\00\02\01a" "rubbish") "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\00asm\0d\00\01\00") "damaged")
;; Versions of other layers.
(assert_malformed (component binary "\00asm\0d\00\00\00") "version that Gatling does not support")
(assert_malformed (component binary "\00asm\0c\00\01\00") "version that Gatling does not support")
(assert_malformed (component binary "\00asm\01\00\01\00") "version that Gatling does not support")
(assert_malformed (component binary "\00asm\02\00\00\00") "version that Gatling does not support")
(assert_malformed (component binary "\00asm\0d\00\02\00") "version that Gatling does not support")
(assert_malformed (component binary "\00asm\ff\ff\ff\ff") "version that Gatling does not support")
(assert_malformed (component binary "\00wasm\0d\00\01\00") "not a WebAssembly file")
(assert_malformed (component binary "\7fELF\02\01\01\00") "not a WebAssembly file")
(assert_malformed (component binary "(component)") "not a WebAssembly file")

;; A module in a component whose sections are repeated or out of order.
(assert_malformed (component binary
  "\00asm\0d\00\01\00" "\01\0e\00asm\01\00\00\00" "\05\01\00" "\04\01\00") "out of order")
(assert_malformed (component binary
  "\00asm\0d\00\01\00" "\01\0e\00asm\01\00\00\00" "\04\01\00" "\04\01\00") "out of order")

;; ---- Indices of items that do not exist.

(assert_invalid (component (export "a" (func 0))) "out of bounds")
(assert_invalid (component (export "a" (instance 4294967295))) "out of bounds")
(assert_invalid (component (export "a" (type 7))) "out of bounds")
(assert_invalid (component (export "a" (core module 0))) "out of bounds")
(assert_invalid (component (export "a" (component 0))) "out of bounds")
(assert_invalid (component (import "f" (func (type 0)))) "out of bounds")
(assert_invalid (component (import "i" (instance (type 1)))) "out of bounds")
(assert_invalid (component (type (list 0))) "out of bounds")
(assert_invalid (component (type (record (field "a" 99)))) "out of bounds")
(assert_invalid (component (type (own 0))) "out of bounds")
(assert_invalid (component (core instance (instantiate 0))) "out of bounds")
(assert_invalid (component (instance (instantiate 0))) "out of bounds")
(assert_invalid (component (core func (canon lower (func 0)))) "out of bounds")
(assert_invalid (component (type (func)) (func (type 0) (canon lift (core func 0)))) "out of bounds")
(assert_invalid (component (alias export 0 "a" (func))) "out of bounds")
(assert_invalid (component (alias outer 1 0 (type))) "invalid outer alias count")
(assert_invalid (component (alias outer 0 0 (type))) "out of bounds")
(assert_invalid (component (component (alias outer 4294967295 0 (type)))) "invalid outer alias count")

;; ---- Invalid types.

(assert_invalid (component (type (record))) "at least one field")
(assert_invalid (component (type (variant))) "at least one case")
(assert_invalid (component (type (tuple))) "at least one type")
(assert_invalid (component (type (flags))) "at least one entry")
(assert_invalid (component (type (enum))) "at least one variant")
(assert_invalid (component (type (record (field "a" u8) (field "a" u8)))) "conflicts with previous")
(assert_invalid (component (type (record (field "a" u8) (field "A" u8)))) "conflicts with previous")
(assert_invalid (component (type (variant (case "a") (case "a")))) "conflicts with previous")
(assert_invalid (component (type (enum "a" "a"))) "conflicts with previous")
(assert_invalid (component (type (flags "a" "a"))) "conflicts with previous")
(assert_invalid (component (type (func (param "a" u8) (param "a" u8)))) "conflicts with previous")
(assert_invalid (component (type $f (func)) (type (list $f))) "not a defined type")
(assert_invalid (component (type $i (instance)) (type (option $i))) "not a defined type")
(assert_invalid (component (type $s string) (type (own $s))) "not a resource type")
(assert_invalid (component (type $s string) (import "f" (func (type $s)))) "not a function type")
(assert_invalid (component (type $s string) (import "i" (instance (type $s)))) "not an instance type")
(assert_invalid (component (type (func (result (borrow 0))))) "out of bounds")
(assert_invalid (component
  (type $r (resource (rep i32))) (type (func (result (borrow $r))))) "cannot contain a `borrow` type")

;; ---- Names.

(assert_invalid (component (import "" (func))) "kebab")
(assert_invalid (component (import "-a" (func))) "kebab")
(assert_invalid (component (import "a-" (func))) "kebab")
(assert_invalid (component (import "a--b" (func))) "kebab")
(assert_invalid (component (import "1a" (func))) "kebab")
(assert_invalid (component (import "aB" (func))) "kebab")
(assert_invalid (component (import "a_b" (func))) "kebab")
(assert_invalid (component (import "a b" (func))) "kebab")
(assert_invalid (component (import "\c3\a4" (func))) "kebab")
(assert_invalid (component (import "\00" (func))) "kebab")
(assert_invalid (component (import "a:" (instance))) "damaged")
(assert_invalid (component (import ":b/c" (instance))) "damaged")
(assert_invalid (component (import "a:b" (instance))) "damaged")
(assert_invalid (component (import "a:b/" (instance))) "damaged")
(assert_invalid (component (import "a:b/c@" (instance))) "damaged")
(assert_invalid (component (import "a:b/c@1" (instance))) "damaged")
(assert_invalid (component (import "a:b/c@1.2.3.4" (instance))) "damaged")
(assert_invalid (component (import "a:b/c@99999999999999999999.0.0" (instance))) "damaged")
(assert_invalid (component (import "a" (func)) (import "a" (func))) "conflicts with previous")
(assert_invalid (component (import "a" (func)) (import "A" (func))) "conflicts with previous")
(assert_invalid (component (import "f" (func $f)) (export "a" (func $f)) (export "a" (func $f))) "conflicts with previous")
(assert_invalid (component (import "[method]a.b" (func))) "damaged")
(assert_invalid (component (import "[constructor]a" (func))) "damaged")
(assert_invalid (component (import "[static]a" (func))) "damaged")
(assert_invalid (component (import "[nonsense]a" (func))) "damaged")
(assert_malformed (component binary "\00asm\0d\00\01\00" "\0a\06\01\00\02\ff\fe\01\00") "UTF-8")

;; ---- Instances, aliases, lifted and lowered functions.

(assert_invalid (component
  (component $c (import "f" (func))) (instance (instantiate $c))) "missing import named `f`")
(assert_invalid (component
  (import "g" (func $g (param "x" u8)))
  (component $c (import "f" (func))) (instance (instantiate $c (with "f" (func $g))))) "type mismatch")
(assert_invalid (component
  (import "g" (func $g))
  (component $c) (instance (instantiate $c (with "f" (func $g)) (with "f" (func $g))))) "conflicts with previous")
(assert_invalid (component (instance $i) (alias export $i "a" (func))) "no export named `a`")
(assert_invalid (component
  (core module $m (import "a" "b" (func))) (core instance (instantiate $m))) "missing module instantiation argument")
(assert_invalid (component
  (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (alias core export $i "g" (core func))) "no export")
(assert_invalid (component
  (core module $m (func (export "f") (param i32))) (core instance $i (instantiate $m))
  (func (canon lift (core func $i "f")))) "do not match parameter types")
(assert_invalid (component
  (core module $m (func (export "f") (param i32 i32))) (core instance $i (instantiate $m))
  (func (param "x" string) (canon lift (core func $i "f")))) "canonical option `memory` is required")
(assert_invalid (component
  (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32))) (core instance $i (instantiate $m))
  (func (param "x" string) (canon lift (core func $i "f") (memory (core memory $i "m"))))) "canonical option `realloc` is required")
(assert_invalid (component
  (import "f" (func $f (param "x" string))) (core func (canon lower (func $f)))) "canonical option `memory` is required")
(assert_invalid (component
  (import "f" (func $f)) (core func (canon lower (func $f) string-encoding=utf8 string-encoding=utf16))) "conflicts")

;; ---- Resources.

(assert_unlinkable (component (type (resource (rep i64)))) "a WebAssembly feature")
(assert_invalid (component (import "r" (type $r (sub resource))) (core func (canon resource.new $r))) "not a local resource")
(assert_invalid (component (import "r" (type $r (sub resource))) (core func (canon resource.rep $r))) "not a local resource")
(assert_invalid (component (type $s string) (core func (canon resource.drop $s))) "not a resource type")
(assert_invalid (component
  (type $r (resource (rep i32))) (import "f" (func (param "x" (own $r))))) "not valid to be used as import")
(assert_invalid (component
  (core module $m (func (export "d"))) (core instance $i (instantiate $m))
  (type (resource (rep i32) (dtor (core func $i "d"))))) "damaged")

;; ---- Start functions of components and values, which are not supported.

(assert_invalid (component (import "f" (func $f)) (start $f)) "the function f")
(assert_invalid (component (import "v" (value string))) "damaged")
(assert_invalid (component (type (func)) (start 0)) "damaged")

;; ---- Valid components that need something that Gatling does not provide.

(assert_unlinkable (component (import "a" (core module))) "it imports a, which Gatling does not provide")
(assert_unlinkable (component (import "a" (component))) "it imports a, which Gatling does not provide")
(assert_unlinkable (component (import "r" (type (sub resource)))) "it imports r, which Gatling does not provide")
(assert_unlinkable (component (import "f" (func))) "it imports the function f, which")
(assert_unlinkable (component (import "x" (instance))) "it imports x, which Gatling does not provide")
(assert_unlinkable (component (import "a:b/c" (instance (export "x" (core module))))) "it imports a:b/c, which")
(assert_unlinkable (component (import "a:b/c" (instance (export "x" (instance (export "y" (func))))))) "it imports a:b/c")
(assert_unlinkable (component (import "locked-dep=<a:b>" (func))) "locked-dep=<a:b>, which Gatling does not provide")
(assert_unlinkable (component (import "url=<https://example.com/a>" (component))) "https://example.com/a")
(assert_unlinkable (component (import "a:b/c" (func))) "it imports the function a:b/c, which")
(assert_unlinkable (component (import "gatling:hooks/log@1.0.0" (func))) "it imports the function gatling:hooks/log@1.0.0")
(assert_unlinkable (component (import "gatling:hooks/log" (instance))) "without a version")
(assert_unlinkable (component (import "gatling:hooks/dance@1.0.0" (instance))) "has no interface dance")
(assert_unlinkable (component (import "gatling:hooks/log@1.0.0-rc.1" (instance))) "gatling:hooks@1.0.0-rc.1")
(assert_unlinkable (component (import "gatling:hooks/log@9999999999.0.0" (instance))) "upgrade Gatling")
(assert_unlinkable (component
  (import "gatling:hooks/log@1.0.0" (instance (export "log" (func (param "message" string)))))) "the function log")
(assert_unlinkable (component
  (import "gatling:hooks/deployment@1.0.0" (instance (export "attempt" (func (result u64)))))) "the function attempt")
(assert_unlinkable (component
  (import "gatling:hooks/deployment@1.0.0" (instance (export "attempt" (func (result (list u32))))))) "the function attempt")
(assert_unlinkable (component (import "wasi:io/poll@0.3.0" (instance))) "wasi:io/poll@0.3.0")
(assert_unlinkable (component (import "wasi:io/poll" (instance))) "wasi:io/poll")
(assert_unlinkable (component (import "wasi:nn/tensor@0.2.0" (instance))) "wasi:nn/tensor@0.2.0")
(assert_unlinkable (component (core module (memory 1 1 shared))) "a WebAssembly feature")
(assert_unlinkable (component (core module (type (struct)))) "a WebAssembly feature")
(assert_unlinkable (component (core module (tag))) "a WebAssembly feature")
(assert_unlinkable (component (type (func async))) "a WebAssembly feature")
(assert_unlinkable (component (type (stream u8))) "a WebAssembly feature")
(assert_unlinkable (component (type (future))) "a WebAssembly feature")

;; ---- Odd, but good components.

(component)
(component binary "\00asm\0d\00\01\00" "\00\0e\07unknownsecret" "\00\01\00")
(component (core module $m) (export "a" (core module $m)))
(assert_unlinkable (component (component $c) (export "a" (component $c))) "it exports the component a")
(component (type $s string) (export $a "s" (type $s)) (export "t" (type $a)))
(component (type $t (instance)) (export "a" (type $t)))
(component (type $t (func)) (export "a" (type $t)))
(component (type $r (resource (rep i32))) (export "r" (type $r)))
(component (import "wasi:io/poll@0.2.0" (instance $i (export "pollable" (type (sub resource)))))
  (alias export $i "pollable" (type $t)) (export "wasi:io/poll@0.2.0" (instance $i)))
(component (import "wasi:io/poll@0.2.6" (instance $i)) (export "x" (instance $i)) (export "y" (instance $i)))
(component (import "wasi:io/poll@0.2.0" (instance)) (import "wasi:io/poll@0.2.6" (instance)))
(component
  (core module $m (func (export "f")) (memory 0)) (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f"))) (export "a:b/c" (func $f)))
(component
  (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f"))) (export "init" (func $f)) (export "other" (func $f)))

;; ---- Text form in place of binary, and WIT packages.

(assert_unlinkable (component (type $t (component (export "x" (func)))) (export "a" (type $t))) "WIT package")
(assert_unlinkable (component (type $t (component)) (export "a" (type $t))) "WIT package")
(assert_unlinkable (component (type $t (component (export "x" (func)))) (export "a:b/wit" (type $t))) "WIT package")
