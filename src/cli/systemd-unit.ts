// The text of fabric.service: a daemon that says when it is ready and whether it lives, and that may do what it needs and nothing
// else (systemd.exec(5)). What each choice is for, and what can't be forbidden, stands in docs/operations.md.

import { join } from 'node:path';

export interface UnitPlaces {
  /** The program and its first arguments; the program is run as it is, without a shell. */
  readonly command: readonly string[];
  readonly stateDir: string;
  readonly runDir: string;
}

/**
 * NET_ADMIN, NET_RAW: interfaces, routes, nftables, packet sockets. SYS_ADMIN: into containers' network namespaces. SYS_PTRACE,
 * DAC_READ_SEARCH: /proc/PID/fd of the CNI plugin. SETUID, SETGID, KILL: the engine has a user of its own. IPC_LOCK, SYS_RESOURCE:
 * its keys are locked in memory. NET_BIND_SERVICE: DNS on port 53.
 */
export const CAPABILITIES = [
  'CAP_DAC_READ_SEARCH',
  'CAP_IPC_LOCK',
  'CAP_KILL',
  'CAP_NET_ADMIN',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_ADMIN',
  'CAP_SYS_PTRACE',
  'CAP_SYS_RESOURCE',
] as const;

/** Directories that ProtectHome= hides, and those that PrivateTmp= replaces. */
const HOMES = ['/home', '/root', '/run/user'];
const TEMPORARY = ['/tmp', '/var/tmp'];

export function unitText({ command, stateDir, runDir }: UnitPlaces): string {
  const places = [...command.filter((word) => word.startsWith('/')), stateDir, runDir];
  const liesIn = (folders: readonly string[]): boolean =>
    places.some((place) => folders.some((folder) => place.startsWith(`${folder}/`)));
  return `[Unit]
Description=fabric overlay network
After=network-online.target
Wants=network-online.target
Before=docker.service containerd.service crio.service kubelet.service
ConditionPathExists=${join(stateDir, 'identity.json')}

[Service]
Type=notify
ExecStart=${[...command, 'launch', '--state-dir', stateDir, '--run-dir', runDir].map(quote).join(' ')}
KillMode=process
Restart=on-failure
RestartSec=1
WatchdogSec=30
UMask=0077

CapabilityBoundingSet=${CAPABILITIES.join(' ')}
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run ${[stateDir, runDir].map(quote).join(' ')}
ProtectHome=${liesIn(HOMES) ? 'read-only' : 'yes'}
PrivateTmp=${liesIn(TEMPORARY) ? 'no' : 'yes'}
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=net
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @pkey seccomp
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/** A word of a unit's command line (systemd.syntax(7)): specifiers begin with a percent sign. */
function quote(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
