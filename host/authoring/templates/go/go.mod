module {{ module }}

go 1.25

require {{ go_requirement }}
