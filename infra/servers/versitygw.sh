# VersityGW, an S3 server of other make, in place of MinIO: STACK_S3=versitygw.
# Sourced by stack.sh after s3.sh.

VERSITYGW_VERSION=v1.8.0

versitygw_ports() { echo "S3_PORT=$S3_PORT"; }

versitygw_install() {
  need_packages curl=curl
  go_install versitygw github.com/versity/versitygw/cmd/versitygw "$VERSITYGW_VERSION"
}

versitygw_start() {
  s3_load_credentials
  mkdir -p "$STACK_DIR/versitygw"
  ROOT_ACCESS_KEY=$S3_ACCESS_KEY ROOT_SECRET_KEY=$S3_SECRET_KEY \
    start_process versitygw "$CACHE/bin/versitygw-$VERSITYGW_VERSION" --port "127.0.0.1:$S3_PORT" \
    posix "$STACK_DIR/versitygw"
}

versitygw_healthy() { s3_has_bucket; }
versitygw_environment() { s3_environment; }
