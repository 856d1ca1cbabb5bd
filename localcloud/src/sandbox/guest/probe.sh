# Does in little what a boot does, so that what a kernel or container forbids is seen before an
# instance is asked for. The namespaces are already made.
#
# $1 folder for the upper layer · $2 a layer holding the file `old` · $3 overlay options
set -eu
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=$2,upperdir=upper,workdir=work,$3" overlay root
cd root
# Deleting makes a whiteout, which is a device.
rm old
: >new
mkdir proc put_old
mount -t proc proc proc
mount -t tmpfs tmpfs put_old
mkdir put_old/dev put_old/old
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts put_old/dev
: >put_old/null
mount --bind /dev/null put_old/null
pivot_root . put_old/old
cd /
[ -e /new ] && [ ! -e /old ] && [ -e /put_old/old/proc ]
