# MinIO, the S3 server of the stack. Sourced by stack.sh after s3.sh.

MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c

minio_ports() { echo "S3_PORT=$S3_PORT"; }

minio_install() {
  need_packages curl=curl
  go_install minio github.com/minio/minio "$MINIO_VERSION"
}

minio_start() {
  s3_load_credentials
  mkdir -p "$STACK_DIR/minio"
  [ -z "$S3_TLS" ] || s3_make_certificates
  MINIO_ROOT_USER=$S3_ACCESS_KEY MINIO_ROOT_PASSWORD=$S3_SECRET_KEY MINIO_BROWSER=off MINIO_UPDATE=off \
    start_process minio "$CACHE/bin/minio-$MINIO_VERSION" server --quiet \
    --address "127.0.0.1:$S3_PORT" ${S3_TLS:+--certs-dir "$S3_CERTIFICATES"} "$STACK_DIR/minio"
}

minio_healthy() { s3_has_bucket; }
minio_environment() { s3_environment; }
