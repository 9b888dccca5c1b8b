# Sourced at the end of the Tcl harness of several instances (tests/instances.tcl) in tcl_suite.py's
# scratch trees. It changes no test: it records every result in the packets of tcl_suite_shim.tcl, and
# keeps the instances within the ports of the worker.

set ::compat_log [open $::env(COMPAT_LOG) a]
fconfigure $::compat_log -buffering line
set ::compat_failed 0
set ::sentinel_base_port $::env(COMPAT_PORT)
foreach name {redis valkey} {
    set ::${name}_base_port [expr {$::env(COMPAT_PORT) + 450}]
    set ::${name}_port_count 400
}

proc compat_record {status data} {
    puts $::compat_log "$status [binary encode base64 [encoding convertto utf-8 $data]]"
}

# A failed assertion ends its unit, by a `continue`; any other error is raised anew.
rename test compat_test
proc test {descr code} {
    compat_record testing $descr
    # The original prints an assertion's message and keeps it to itself.
    set ::compat_error ""
    set body [format {
        if {[catch %s ::compat_error ::compat_options]} {return -options $::compat_options $::compat_error}
    } [list $code]]
    set status [catch {uplevel 1 [list compat_test $descr $body]} result options]
    if {$status == 0} {
        compat_record ok $descr
        return
    }
    # The original counts it, and so does what ran the unit, which the failure ends.
    incr ::compat_failed 2
    compat_record err "$descr in sentinel: $::compat_error"
    dict incr options -level
    return -options $options $result
}

# What failed outside of tests (a crash, a leaked descriptor, an error between two tests) counts, too.
rename end_tests compat_end_tests
proc end_tests {} {
    if {$::failed > $::compat_failed} {
        compat_record err "[expr {$::failed - $::compat_failed}] failures outside of tests"
    }
    compat_record done ""
    compat_end_tests
}
