# Boots a systemd as process 1 of a machine of its own, whose disk is an overlay of this one. Runs in new namespaces.
# $1 has what the machine changes on its disk, $2 is its folder /shared.
set -e
state=$1 shared=$2 root=$1/root
mount --make-rprivate /
mkdir -p "$state/upper" "$state/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$state/upper,workdir=$state/work" "$root"
mount -t proc proc "$root/proc"
# systemd must not change the settings of the kernel, which both machines share.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/full" c 1 7
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/tty" c 5 0
touch "$root/dev/console"
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/shared"
mount --bind "$shared" "$root/shared"
if ! [ -e "$state/installed" ]; then
  # Only what the tests need starts.
  rm -f "$root"/etc/systemd/system/*.wants/* "$root"/etc/rc?.d/* "$root"/etc/nginx/sites-enabled/* "$root"/etc/nginx/conf.d/*
  for unit in systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-timesyncd.service systemd-networkd.service \
    systemd-resolved.service console-getty.service getty@tty1.service systemd-logind.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -s /lib/systemd/system/nginx.service "$root/etc/systemd/system/multi-user.target.wants/nginx.service"
  : >"$root/etc/machine-id"
  : >"$root/etc/fstab"
  touch "$state/installed"
fi
hostname machine
ip link set lo up
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  /lib/systemd/systemd --log-target=journal --show-status=false --unit=multi-user.target </dev/null
