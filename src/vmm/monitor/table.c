/* table.c - every command stands in one of these. */
#include "vmm/monitor/command.h"

extern const MonitorCommand session_commands[], line_commands[], machine_commands[], cpu_commands[], qom_commands[], probe_commands[], device_commands[], memory_commands[], dump_commands[], object_commands[], cpu_model_commands[], block_commands[], display_commands[], char_commands[];
extern const MonitorCommand blockdev_commands[], blockstats_commands[], input_commands[], job_commands[], media_commands[], net_commands[], balloon_commands[];
extern const MonitorCommand bitmap_commands[], fd_commands[], export_commands[], migrate_commands[], action_commands[], snapshot_commands[], reopen_commands[], drive_job_commands[];

const MonitorCommand *const monitor_tables[] = {
    session_commands, line_commands, machine_commands, cpu_commands, cpu_model_commands, qom_commands, probe_commands, device_commands, memory_commands, dump_commands, object_commands, block_commands, display_commands, char_commands,
    blockdev_commands, blockstats_commands, input_commands, job_commands, media_commands, net_commands, balloon_commands,
    bitmap_commands, fd_commands, export_commands, migrate_commands, action_commands, snapshot_commands, reopen_commands, drive_job_commands,
    NULL,
};
