// Where things lie unless somebody says otherwise: what is fabric's own, and where container runtimes look.

export const STATE_DIR = '/var/lib/fabric';
export const RUN_DIR = '/run/fabric';
export const CNI_CONF_DIR = '/etc/cni/net.d';
export const CNI_BIN_DIR = '/opt/cni/bin';
