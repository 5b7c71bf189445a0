#!/usr/bin/env bash
# A real object storage on the loopback interface, for the tests of the registry: Ceph's radosgw from Debian over one
# monitor and one store in memory, without systemd. Ready in about 15 seconds.
#
#   apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
#   scripts/ceph.sh start                       # in $CEPH_DIR (/tmp/cairn-ceph), at port $CEPH_PORT (7480)
#   CAIRN_TEST_S3=1 npm test -- src/registry/storage/s3
#   scripts/ceph.sh stop
set -euo pipefail

dir=${CEPH_DIR:-/tmp/cairn-ceph}
port=${CEPH_PORT:-7480}
conf=$dir/ceph.conf
keyring=$dir/keyring

stop() {
  for name in client.rgw.a osd.0 mon.a; do
    [ -f "$dir/run/$name.pid" ] && kill "$(cat "$dir/run/$name.pid")" 2>/dev/null || true
  done
  rm -rf "$dir"
}

start() {
  if [ -e "$dir" ]; then
    echo "$dir is there already; $0 stop removes it" >&2
    exit 1
  fi
  mkdir -p "$dir"/{mon,osd,run,log,rgw}
  local fsid osd
  fsid=$(cat /proc/sys/kernel/random/uuid)
  osd=$(cat /proc/sys/kernel/random/uuid)
  cat > "$conf" <<CONF
[global]
fsid = $fsid
mon initial members = a
mon host = [v2:127.0.0.1:$((port + 9300)),v1:127.0.0.1:$((port + 9301))]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = $keyring
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
mon max pg per osd = 2000
osd crush chooseleaf type = 0
run dir = $dir/run
admin socket = $dir/run/\$cluster-\$name.asok
pid file = $dir/run/\$name.pid
log file = $dir/log/\$name.log
ms bind ipv6 = false
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw.a]
rgw data = $dir/rgw
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw dns name = localhost
CONF
  ceph-authtool --create-keyring "$keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  ceph-authtool "$keyring" --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx'
  monmaptool --create --clobber --fsid "$fsid" \
    --addv a "[v2:127.0.0.1:$((port + 9300)),v1:127.0.0.1:$((port + 9301))]" "$dir/monmap" > /dev/null
  ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$keyring"
  ceph-mon -c "$conf" -i a
  timeout 30 ceph -c "$conf" osd new "$osd" > /dev/null
  ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" --keyring "$keyring" > /dev/null 2>&1
  ceph-osd -c "$conf" -i 0
  for _ in $(seq 1 60); do
    timeout 30 ceph -c "$conf" osd stat 2> /dev/null | grep -q '1 up' && break
    sleep 0.3
  done
  radosgw -c "$conf" -n client.rgw.a
  for _ in $(seq 1 60); do
    curl -s -o /dev/null "http://127.0.0.1:$port/" && break
    sleep 0.5
  done
  timeout 60 radosgw-admin -c "$conf" user create --uid=test --display-name=test \
    --access-key=test-key --secret-key=test-secret > /dev/null
  echo "radosgw at http://127.0.0.1:$port, keys test-key and test-secret"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 1 ;;
esac
