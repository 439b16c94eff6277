;; How far mail data needs no second look: clean-lines.ts says what that means, and embeds what this is assembled to
;; (test/smtp/clean-lines.test.ts compares). Sixteen octets a step; WebAssembly's SIMD.
(module
  (memory (export "memory") 9)
  ;; All octets from $at up to the result are clean. $at is at least 1. Looks at whole blocks below $end only.
  (func (export "cleanUntil") (param $at i32) (param $end i32) (result i32)
    (local $here v128) (local $before v128)
    (block $done
      (loop $next
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 16)) (local.get $end)))
        (local.set $here (v128.load (local.get $at)))
        (local.set $before (v128.load (i32.sub (local.get $at) (i32.const 1))))
        (br_if $done
          (v128.any_true
            (v128.or
              ;; LF here, or CR before, but not both.
              (v128.xor
                (i8x16.eq (local.get $here) (i8x16.splat (i32.const 10)))
                (i8x16.eq (local.get $before) (i8x16.splat (i32.const 13))))
              ;; A dot at the start of a line.
              (v128.and
                (i8x16.eq (local.get $here) (i8x16.splat (i32.const 46)))
                (i8x16.eq (local.get $before) (i8x16.splat (i32.const 10)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.get $at)))
