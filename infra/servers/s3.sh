# What MinIO and VersityGW have in common: port, credentials, the bucket. Sourced by stack.sh.

S3_PORT=${S3_PORT:-${MINIO_PORT:-9000}}
S3_BUCKET=${S3_BUCKET:-citypulse}
S3_CREDENTIALS=$STACK_DIR/s3-credentials
# With S3_TLS=1 MinIO has a certificate of an authority of the stack's own.
S3_TLS=${S3_TLS:-}
S3_CERTIFICATES=$STACK_DIR/s3-certificates
S3_URL=http${S3_TLS:+s}://127.0.0.1:$S3_PORT

# Made up on the first start and kept for as long as the data is.
s3_load_credentials() {
  if [ ! -s "$S3_CREDENTIALS" ]; then
    (umask 077 && printf 'S3_ACCESS_KEY=citypulse-%s\nS3_SECRET_KEY=%s\n' \
      "$(random_hex 4)" "$(random_hex 20)" >"$S3_CREDENTIALS.part" && mv "$S3_CREDENTIALS.part" "$S3_CREDENTIALS")
  fi
  # shellcheck source=/dev/null
  . "$S3_CREDENTIALS"
}

# Made once, as MinIO names them: public.crt and private.key.
s3_make_certificates() {
  [ -s "$S3_CERTIFICATES/public.crt" ] && return
  need_packages openssl=openssl
  local ca=$STACK_DIR/s3-ca.crt key
  mkdir -p "$S3_CERTIFICATES"
  (
    umask 077
    key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=CityPulse test authority" -keyout "$ca.key" -out "$ca"
    openssl req "${key[@]}" -subj "/CN=127.0.0.1" -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" \
      -keyout "$S3_CERTIFICATES/private.key" -out "$ca.request"
    openssl x509 -req -in "$ca.request" -CA "$ca" -CAkey "$ca.key" -CAcreateserial -days 3650 \
      -copy_extensions copy -out "$S3_CERTIFICATES/public.crt"
  ) >"$STACK_DIR/s3-certificates.log" 2>&1 || die "no certificates (log: $STACK_DIR/s3-certificates.log)"
}

random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# s3_request METHOD PATH: prints the HTTP status. The key goes in on standard input,
# where no process list shows it. The header, the checksum of an empty body, is required
# by the protocol and left out by curl before version 8.
EMPTY_BODY=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
s3_request() {
  printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" |
    curl -sS --config - --noproxy '*' --max-time 10 --aws-sigv4 aws:amz:us-east-1:s3 \
      ${S3_TLS:+--cacert "$STACK_DIR/s3-ca.crt"} \
      -H "x-amz-content-sha256: $EMPTY_BODY" -o /dev/null -w '%{http_code}' -X "$1" "$S3_URL$2" 2>/dev/null
}

# Healthy is: takes our key and has the bucket.
s3_has_bucket() {
  s3_load_credentials
  [ "$(s3_request GET "/$S3_BUCKET?list-type=2&max-keys=1")" = 200 ] && return
  s3_request PUT "/$S3_BUCKET"
  return 1
}

s3_environment() {
  s3_load_credentials
  echo "export CITYPULSE_S3__ENDPOINT=$S3_URL"
  echo "export CITYPULSE_LAKE__URL=s3://$S3_BUCKET/lake"
  echo "export AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY"
  echo "export AWS_SECRET_ACCESS_KEY=$S3_SECRET_KEY"
  [ -z "$S3_TLS" ] || echo "export AWS_CA_BUNDLE=$STACK_DIR/s3-ca.crt"
}

# go_install NAME MODULE VERSION: built once, kept beside the other tools.
go_install() {
  local name=$1 module=$2 version=$3
  [ -x "$CACHE/bin/$name-$version" ] && return
  need_toolchain go "Go 1.26"
  say "building $name (a few minutes, once)"
  mkdir -p "$CACHE/bin"
  GOBIN=$CACHE/bin/.new go install "$module@$version" >"$CACHE/$name-build.log" 2>&1 ||
    { tail -n 20 "$CACHE/$name-build.log" >&2; die "$name could not be built (log: $CACHE/$name-build.log)"; }
  mv "$CACHE/bin/.new/$name" "$CACHE/bin/$name-$version"
}
