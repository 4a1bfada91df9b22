# shellcheck shell=bash
# Sourced by run: how each HSM is set up in $work, with the profile of tokens/profiles for keyward.conf. Each up_NAME leaves the environment
# as a broker would have it; missing_NAME prints why the HSM cannot be had here, or nothing.
# shellcheck disable=SC2034,SC2154 # run sets and uses the rest
softhsm=/usr/lib/softhsm/libsofthsm2.so
softokn=/usr/lib/x86_64-linux-gnu/libsoftokn3.so
opencryptoki=/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so
p11_client=/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so

# profile NAME: keyward.conf, with the places of the profile moved into $work.
profile() {
    sed "s|/etc/keyward/|$work/|; s|/var/lib/keyward/|$work/|" "$root/tokens/profiles/$1.conf" >"$KEYWARD_CONF"
    echo 'mechanisms = standard envelope' >>"$KEYWARD_CONF" # the section of the slot is the last one
    printf '%s\n' "$pin" >"$work/eu-1.pin"
}

# need PROGRAM_OR_FILE PACKAGE: says what is missing.
need() {
    command -v "$1" >/dev/null || [ -e "$1" ] || echo "$1 is not there (Debian: $2)"
}

missing_softhsm() { need softhsm2-util softhsm2; }
up_softhsm() {
    export SOFTHSM2_CONF=$work/softhsm2.conf
    mkdir "$work/tokens"
    printf '%s\n' "directories.tokendir = $work/tokens" 'objectstore.backend = file' 'log.level = ERROR' \
        'slots.removable = false' 'library.reset_on_fork = true' >"$SOFTHSM2_CONF"
    softhsm2-util --init-token --free --label eu-1 --so-pin 12345678 --pin "$pin" >/dev/null && profile softhsm
    export CONTRACT_DOWN="mv $work/tokens $work/away" CONTRACT_UP="mv $work/away $work/tokens"
}

missing_nss() {
    need certutil libnss3-tools
    need "$softokn" libnss3
}
up_nss() {
    mkdir "$work/nss"
    export NSS_MAX_MP_PBE_ITERATION_COUNT=100 # not the 10000 that it takes for each secret of the store: only how fast it is
    profile nss
    export CONTRACT_DOWN="mv $work/nss $work/away" CONTRACT_UP="mv $work/away $work/nss"
    certutil -N -d "sql:$work/nss" -f "$work/eu-1.pin"
}

# One key in tokens of two vendors: SoftHSM first, NSS beside it.
missing_replicas() {
    missing_softhsm
    missing_nss
}
up_replicas() {
    export CONTRACT_SERVES=yes
    up_nss && sed -n '/^\[token/,/^$/p' "$KEYWARD_CONF" | sed 's/^\[token eu-1\]/[token eu-2]/' >"$work/nss.section" && up_softhsm &&
        sed -i 's/^tokens = eu-1/tokens = eu-1 eu-2/' "$KEYWARD_CONF" && { echo; cat "$work/nss.section"; } >>"$KEYWARD_CONF"
}

# openCryptoki has one configuration, one daemon and one store per machine. It gets others in a mount namespace, where the machine's own stay
# as they are; run has moved there already.
missing_opencryptoki() {
    need pkcsslotd opencryptoki
    need "$opencryptoki" libopencryptoki0
    [ "$(id -u)" -eq 0 ] || echo 'only root can run pkcsslotd'
    unshare --mount --ipc --pid --fork --kill-child --mount-proc true 2>/dev/null || echo 'no namespace can be made here (unshare), and the own openCryptoki of this machine is left alone'
}
up_opencryptoki() {
    local part
    mkdir "$work/etc" "$work/lib" &&
        cp -a /var/lib/opencryptoki/. "$work/lib/" && rm -rf "$work"/lib/swtok/* && mkdir "$work/lib/swtok/TOK_OBJ" &&
        printf '%s\n' 'version opencryptoki-3.1' 'slot 0' '{' 'stdll = libpkcs11_sw.so' '}' >"$work/etc/opencryptoki.conf" &&
        mount --bind "$work/etc" /etc/opencryptoki && mount --bind "$work/lib" /var/lib/opencryptoki || return
    for part in /dev/shm /run; do
        mount -t tmpfs -o mode=755 tmpfs "$part" || return
    done
    mkdir -p /run/opencryptoki /run/lock/opencryptoki/swtok
    chgrp -R pkcs11 /run/opencryptoki /run/lock/opencryptoki "$work/lib/swtok"
    pkcsslotd || return
    # shellcheck disable=SC2016 # a shell of the contract expands it
    export CONTRACT_DOWN='kill -s "${CONTRACT_SIGNAL:-TERM}" "$(cat /run/pkcsslotd.pid)"' CONTRACT_UP='rm -f /run/pkcsslotd.pid /run/pkcsslotd.socket; pkcsslotd && timeout 5 sh -c "until [ -s /run/pkcsslotd.pid ]; do sleep 0.01; done"' # which the next DOWN needs
    echo eu-1 | pkcsconf -I -c 0 -S 87654321 >/dev/null &&
        pkcsconf -P -c 0 -S 87654321 -n 12345678 && pkcsconf -u -c 0 -S 12345678 -n "$pin" && profile opencryptoki
}
down_opencryptoki() {
    kill "$(cat /run/pkcsslotd.pid)"
}

missing_p11_kit() {
    missing_softhsm
    need p11-kit p11-kit
    need "$p11_client" p11-kit-modules
}
# serve: the server, started and listening. It does not start where a killed one has left its socket, and says that it does.
serve() {
    local i
    rm -f "$work/p11-kit"
    eval "$(p11-kit server --provider "$softhsm" --name "$work/p11-kit" pkcs11:token=eu-1)" || return
    for ((i = 0; i < 100; i++)); do
        [ ! -S "$work/p11-kit" ] || break
        read -rt 0.05 <><(:) || true
    done
    export P11_KIT_SERVER_ADDRESS
    echo "$P11_KIT_SERVER_PID" >"$work/p11-kit.pid"
}
up_p11_kit() {
    up_softhsm && serve && profile p11-kit
    # the listener and its child for each client
    export CONTRACT_DOWN="p=\$(cat $work/p11-kit.pid); kill -s \"\${CONTRACT_SIGNAL:-TERM}\" \$(ps -o pid= --ppid \$p) \$p"
    export CONTRACT_UP="$here/run --serve $work"
}
down_p11_kit() {
    kill "$(cat "$work/p11-kit.pid")"
}
